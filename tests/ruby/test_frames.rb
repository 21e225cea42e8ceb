# frozen_string_literal: true

require_relative "helper"

class TestFrames < CprofTest
  def test_seventy_to_thirty_shows_as_seventy_to_thirty
    # What runs from one look of the handler to the next counts to where the second finds it, and looks come
    # with the kernel's ticks: what repeats itself in step with them is shown wrong. So few changes, at times
    # that do not.
    outcome = run_profiled(<<~RUBY, rate: 500)
      def often(seconds) = spin(0.7 * seconds)
      def seldom(seconds) = spin(0.3 * seconds)
      [0.731, 1.387, 0.859, 1.023].each { |seconds| often(seconds); seldom(seconds) }
    RUBY
    assert_clean outcome
    profile = outcome.profile
    assert_share 0.70, profile.share { |s| s.names.include?("Object#often") }, 0.03, "often"
    assert_share 0.30, profile.share { |s| s.names.include?("Object#seldom") }, 0.03, "seldom"
  end

  # Whole from the program's or a thread's beginning.
  def complete?(sample)
    !sample.names.include?("[truncated]") && sample.names.any? { |n| n.match?(/<main>|<top \(required\)>/) }
  end

  def test_stacks_are_complete_and_hide_the_interpreter
    outcome = run_profiled(<<~RUBY, rate: 1000)
      require "json"
      require "erb"
      require "zlib"
      template = ERB.new("<% rows.each do |row| %><td><%= row.to_s.gsub(/a|b/) { |c| c.upcase } %></td><% end %>")
      rows = (1..50).map { |i| { "id" => i, "name" => "abba \#{i}" } }
      define_method(:render) { template.result(binding) }
      define_method(:request) do
        text = render
        JSON.parse(JSON.generate(rows)).sort_by { |row| -row["id"] }
        Zlib::Inflate.inflate(Zlib::Deflate.deflate(text))
        text.scan(/<td>.*?"id"=>(\\d+)/) { |id,| id.to_i }
        [1, 2, 3].each_slice(2).map(&:sum)
      end
      define_method(:serve) { |seconds| till = cpu + seconds; request while cpu < till }
      threads = 3.times.map { Thread.new { serve(1.2) } }
      threads << Thread.new { 4.times.map { Fiber.new { 3.times { serve(0.1); Fiber.yield } } }.cycle(3, &:resume) }
      serve(1.2)
      threads.each(&:join)
    RUBY
    assert_clean outcome
    profile = outcome.profile
    incomplete = profile.samples.reject { |s| complete?(s) }
    complete = 1 - incomplete.sum(&:weight).fdiv(profile.weight)
    assert_operator complete, :>=, 0.99, "complete from the root to the leaf: #{incomplete.first(5).map(&:root_first)}"
    # Where a method that a block defines is entered, nothing lies between the two Ruby frames.
    between = profile.samples.flat_map { |s| s.root_first.each_cons(3).select { |a, b, c| a == "block in <main>" && b.include?("+0x") && c == a } }
    assert_empty between.uniq
    shown = profile.share { |s| s.names.any? { |n| n.match?(/\Arb_vm_exec|\Avm_exec|\Avm_call|\Avm_sendish/) } }
    assert_equal 0, shown, "the interpreter loop shows"
    unknown = profile.samples.select { |s| s.names.include?("[unknown]") }
    examples = unknown.map { |s| s.root_first.join(";") }.uniq.first(3).join("\n")
    assert_operator unknown.sum(&:weight).fdiv(profile.weight), :<, 0.01, "unknown frames: #{examples}"
  end

  def test_the_profile_holds_all_of_the_processs_cpu_time
    outcome = run_profiled(<<~RUBY, rate: 250)
      before = Process.times
      threads = 3.times.map { Thread.new { spin(0.8) } }
      spin(0.8)
      threads.each(&:join)
      after = Process.times
      puts (after.utime + after.stime) - (before.utime + before.stime)
    RUBY
    assert_clean outcome
    used = outcome.output.to_f
    assert_in_delta 1, outcome.profile.cpu_seconds / used, 0.02, "of #{used} s"
  end

  NAMES = <<~RUBY
    class Shop
      def total = spin(0.1)
      def self.open = spin(0.1)
      def each_item = [1].each { spin(0.1) }
      spin(0.1)
      class << self
        def inner = [1].map { spin(0.1) }
      end
      define_method(:made) { spin(0.1) }
    end
    module Tools
      def self.run = spin(0.1)
      def mixed = spin(0.1)
    end
    Shop.include(Tools)
    shop = Shop.new
    shop.total
    Shop.open
    shop.each_item
    Shop.inner
    shop.made
    Tools.run
    shop.mixed
    def shop.special = spin(0.1)
    shop.special
    Class.new { def hidden = spin(0.1) }.new.hidden
    spin(0.1)
  RUBY

  # Ruby keeps their native threads for the next ones, and cprof finds them again in between.
  def test_threads_that_come_and_go_count_once
    outcome = run_profiled(<<~'RUBY', rate: 500)
      def work = spin(0.2)
      5.times { Thread.new { work }.join; sleep 0.3 }
      print Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)
    RUBY
    assert_clean outcome
    assert_operator outcome.profile.cpu_seconds, :<, outcome.output.to_f * 1.1
    weight = outcome.profile.samples.select { |s| s.names.include?("Object#work") }.sum(&:weight)
    assert_in_delta 500, weight, 50
  end

  def test_frames_are_called_as_ruby_calls_them
    outcome = run_profiled(NAMES, rate: 500)
    assert_clean outcome
    names = outcome.profile.samples.flat_map(&:names).uniq
    ["<main>", "<class:Shop>", "Shop#total", "Shop.open", "Shop#each_item", "block in Shop#each_item",
     "Shop.inner", "block in Shop.inner", "block in <class:Shop>", "Tools.run", "Tools#mixed",
     "#<Shop>.special", "#<Class>#hidden", "Array#each", "Array#map", "Object#spin"].each do |name|
      assert_includes names, name
    end
    assert_empty names.grep(/0x\h{6,}/).grep_v(/\+0x/), "addresses in names"
  end

  SHARED = <<~'RUBY'
    module Kind
      def self.included(into)
        into.class_eval do
          def shared = spin(0.1)
          def yielding = [1].each { spin(0.1) }
          def matching = "a" =~ /a/ && spin(0.1)
        end
      end
      def mixed = spin(0.05)
    end
    module Before
      def total = super
    end
    module Better
      refine(String) { def refined = spin(0.2) }
    end
    using Better
    classes = %w[First Second Third].map { |name| Object.const_set(name, Class.new { include Kind; def total = spin(0.1) }) }
    First.prepend(Before)
    Second.alias_method(:sum, :total)
    Third.define_method(:total, Third.instance_method(:shared))
    def as(name, &block) = Cprof.labels(truth: name, &block)
    classes.each do |c|
      3.times do
        as("#{c}#shared") { c.new.shared }
        as("#{c}#yielding") { c.new.yielding }
        as("#matching") { c.new.matching }
        as("Kind#mixed") { c.new.mixed }
      end
    end
    as("Kind#mixed") { 20.times { Object.new.extend(Kind).mixed } }
    as("First#total") { First.new.total }
    as("Second#total") { Second.new.sum }
    as("#<refinement:String@Better>#refined") { "a".refined }
    spin(0.1) # what was met last is named
  RUBY

  # The samples of what runs in `spin`, by the label that says where that is.
  def by_truth(profile)
    profile.samples.select { |s| s.names.include?("Object#spin") }.group_by { |s| s.labels["truth"] }
  end

  def test_a_def_that_several_classes_share_shows_each_ones_own
    outcome = run_profiled(SHARED, rate: 500)
    assert_clean outcome
    seen = by_truth(outcome.profile)
    classes = %w[First Second Third]
    assert_equal [*classes.flat_map { |name| ["#{name}#shared", "#{name}#yielding"] }, "#matching", "Kind#mixed", "First#total",
                  "Second#total", "#<refinement:String@Better>#refined"].sort, seen.keys.compact.sort
    seen.except(nil).each do |truth, samples|
      callers = samples.map { |s| s.names[s.names.rindex("Object#spin") + 1] }.uniq
      expected = case truth
                 when /yielding/ then ["block in #{truth}"]
                 when "#matching" then callers & classes.map { |name| "#{name}#matching" }
                 else [truth]
                 end
      assert_equal expected, callers
    end
    classes.each { |name| assert(seen["#{name}#yielding"].all? { |s| s.names.include?("#{name}#yielding") }) }
    assert(seen["First#total"].all? { |s| s.names.include?("Before#total") })
  end

  PREPENDED = <<~'RUBY'
    module Log; def save = super; end
    module Model
      def save = spin(0.1)
      def other = [1].each { spin(0.1) }
      def self.own = spin(0.1)
      prepend Log
    end
    module Plain; def plain = spin(0.1); end
    class User; include Model; include Plain; end
    module Counted; def count_all = super; end
    class Shop
      class << self
        prepend Counted
        def count_all = spin(0.1)
      end
    end
    def as(name, &block) = Cprof.labels(truth: name, &block)
    as("Model#save") { User.new.save }
    as("block in Model#other") { User.new.other }
    as("Plain#plain") { User.new.plain }
    as("Model.own") { Model.own }
    as("Shop.count_all") { Shop.count_all }
    as("block (2 levels) in <main>") { tap { spin(0.1) } }
    spin(0.1)
  RUBY

  def test_methods_of_a_module_that_has_others_prepended_keep_their_names
    outcome = run_profiled(PREPENDED, rate: 500)
    assert_clean outcome
    seen = by_truth(outcome.profile).except(nil)
    assert_equal 6, seen.size
    seen.each do |truth, samples|
      callers = samples.map { |s| s.names[s.names.rindex("Object#spin") + 1] }.uniq
      assert_equal [truth], callers
    end
    assert(seen["block (2 levels) in <main>"].all? { |s| s.names.include?("Kernel#tap") })
  end

  # Each of the `chains` is 200 methods that call one another.
  MANY = <<~'RUBY'
    chains = Integer(ENV.fetch("CHAINS"))
    source = chains.times.flat_map do |chain|
      200.times.map { |n| "def self.m#{chain}_#{n}(x) = #{n == 199 ? "(i = 0; i += 1 while i < x; i)" : "m#{chain}_#{n + 1}(x)"}" }
    end
    Many = Module.new
    Many.module_eval(source.join("\n"), "many.rb", 1)
    till = cpu + 1.5
    chains.times { |chain| Many.send("m#{chain}_0", 20_000) } while cpu < till
  RUBY

  def test_tens_of_thousands_of_methods_all_have_their_names
    outcome = run_profiled(MANY, rate: 250, environment: { "CHAINS" => "90" })
    assert_clean outcome
    deep = outcome.profile.samples.select { |s| s.names.any? { |name| name.match?(/\AMany\.m\d+_199\z/) } }
    assert_operator deep.sum(&:weight), :>, 100
    # Those that come faster than tables grow.
    unknown = deep.select { |s| s.names.include?("[unknown]") }
    assert_operator unknown.sum(&:weight), :<=, deep.sum(&:weight) / 20
    # Each sample has a whole chain, and they come from all over.
    chains = (deep - unknown).map { |s| s.names.grep(/\AMany\./).map { |name| name.split(".m").last.split("_").map(&:to_i) } }
    chains.each { |chain| assert_equal (0..199).to_a.reverse, chain.map(&:last) }
    assert_operator chains.map { |chain| chain.first.first }.uniq.size, :>, 30
  end

  def test_where_there_is_no_memory_for_names_one_line_says_so_and_all_is_counted
    outcome = run_profiled(MANY, rate: 500, environment: { "CHAINS" => "120", "CPROF_MEMORY_LIMIT" => "4MiB" })
    assert outcome.status.success?, outcome.errors
    assert_equal 1, outcome.errors.lines.grep(/\Acprof: CPROF_MEMORY_LIMIT has no room for the names/).size, outcome.errors
    assert_empty outcome.errors.lines.grep_v(/CPROF_MEMORY_LIMIT/)
    assert_operator outcome.profile.cpu_seconds, :>, 1.4
  end

  # It could let in what another thread raises, where Ruby then swallows it.
  def test_naming_runs_no_code_of_the_applications
    outcome = run_profiled(<<~'RUBY', rate: 500)
      class Kind; def self.inspect = (puts "inspected"; sleep(0.3); "kind"); end
      module Better
        refine(Kind) { def refined = (loop { spin(0.01) }) }
      end
      using Better
      thread = Thread.new { Kind.new.refined }
      thread.report_on_exception = false
      sleep 0.2
      thread.raise("stopped")
      puts(begin; thread.join(10); "swallowed"; rescue => e; e.message; end)
    RUBY
    assert outcome.status.success?, outcome.errors
    assert_equal "stopped\n", outcome.output
    assert(outcome.profile.samples.any? { |s| s.names.include?("#<refinement:Kind@Better>#refined") })
  end

  # JIT code that calls nothing leaves the frame's pc as it finds it, here that of a C function.
  def test_a_method_without_calls_shows_after_a_c_function
    outcome = run_profiled(<<~'RUBY', rate: 500)
      def leaf
        i = 0
        i += 1 while i < 20_000
      end
      def work
        Process.pid
        leaf
      end
      work while cpu < 0.6
    RUBY
    assert_clean outcome
    seen = outcome.profile.samples.select { |s| s.names.include?("Object#work") }
    shown = seen.select { |s| s.root_first.each_cons(2).include?(%w[Object#work Object#leaf]) }
    assert_share 1, shown.sum(&:weight).fdiv(seen.sum(&:weight)), 0.05, "leaf"
    assert_equal [], shown.map { |s| s.stack.find { |f| f.name == "Object#leaf" }.line }.uniq - [1, 2, 3]
  end

  def test_lines_are_exact
    outcome = run_profiled(<<~RUBY, rate: 500)
      def work(n)
        spin(0.271) # 2
        [3].each do |x|
          spin(0.271) # 4
        end
        n.zero? ? nil : work(n - 1) # 6
      end
      work(1) # 8; few and long, as ticks of the kernel are what changes of line are seen by
    RUBY
    assert_clean outcome
    lines = Hash.new(0)
    outcome.profile.samples.each do |sample|
      spot = sample.stack.find { |frame| frame.file.end_with?("program.rb") }
      lines[spot.line] += sample.weight if spot
    end
    total = lines.values.sum.to_f
    assert_share 0.5, lines[2] / total, 0.05, "line 2"
    assert_share 0.5, lines[4] / total, 0.05, "line 4"
    callers = outcome.profile.samples.flat_map { |s| s.stack.select { |f| f.name == "Object#work" } }
    assert_empty callers.map(&:line).uniq - [2, 3, 6]
  end

  def test_stacks_agree_with_rubys_own_backtraces
    outcome = run_profiled(<<~'RUBY', rate: 500)
      def leaf(key)
        $seen[key] ||= caller_locations(1).map { |l| "#{File.basename(l.path)}:#{l.lineno}" }
        spin(0.15)
      end
      $seen = {}
      def plain = leaf(:plain)
      def yielding = [2, 1].sort_by { |x| x == 1 && leaf(:sorted); x }
      def replaced = "a".gsub(/a/) { leaf(:gsub); "b" }
      def evaluated = instance_eval { leaf(:evaluated) }
      def text = eval("leaf(:text)", binding, "program.rb", 100)
      def dispatched = __send__(:leaf, :dispatched)
      def method_object = method(:leaf).call(:method_object)
      def lazily = (1..3).lazy.map { |x| x == 2 && leaf(:lazy) }.first(2)
      def ensured
        raise "no"
      rescue StandardError
        leaf(:ensured)
      end
      def caught = catch(:done) { leaf(:caught); throw :done }
      plain; yielding; replaced; evaluated; text; dispatched; method_object; lazily; ensured; caught
      $seen.each { |key, lines| puts "#{key} #{lines.join(" ")}" }
    RUBY
    assert_clean outcome
    seen = outcome.output.lines.to_h { |line| line.split.then { |key, *lines| [key, lines] } }
    stacks = outcome.profile.samples.filter_map do |sample|
      ruby = sample.stack.select { |f| f.file.end_with?(".rb") || f.file == "program.rb" }
      # Since 3.4 Ruby's backtraces leave out the method around its own rescue.
      ruby = ruby.reject.with_index { |_, i| i.positive? && ruby[i - 1].name.start_with?("rescue in ") } if RUBY_VERSION >= "3.4"
      at = ruby.index { |f| f.name == "Object#leaf" && f.line == 3 }
      ruby[at + 1..].map { |f| "#{File.basename(f.file)}:#{f.line}" } if at
    end
    seen.each do |key, lines|
      # Ruby gives a C function the place of its caller; it has none of its own here.
      expected = lines.chunk_while { |a, b| a == b }.map(&:first)
      found = stacks.map { |stack| stack.chunk_while { |a, b| a == b }.map(&:first) }
      assert_includes found, expected, key
    end
  end

  def test_c_functions_own_their_native_frames_and_blocks_come_beneath
    outcome = run_profiled(<<~RUBY, rate: 500)
      require "zlib"
      data = Random.new(1).bytes(300_000)
      till = cpu + 1
      while cpu < till
        Zlib::Deflate.deflate(data)
        (1..2000).sort_by { |x| -x }
        "abcabc".gsub(/b/) { |x| x.upcase }
      end
    RUBY
    assert_clean outcome
    zlib = outcome.profile.samples.select { |s| s.names.include?("Zlib::Deflate.deflate") }
    refute_empty zlib
    deflate = zlib.select { |s| s.names.any? { |n| n.match?(/\Adeflate|libz/) } }
    refute_empty deflate, "zlib's own functions"
    deflate.each do |sample|
      root = sample.root_first
      native = root.index { |n| n.match?(/\Adeflate|libz/) }
      assert_operator root.index("Zlib::Deflate.deflate"), :<, native
    end
    sorted = outcome.profile.samples.select { |s| s.names.include?("block in <main>") && s.names.include?("Enumerable#sort_by") }
    sorted.each do |sample|
      root = sample.root_first
      assert_operator root.index("Enumerable#sort_by"), :<, root.index("block in <main>")
    end
    gsub = outcome.profile.samples.map(&:root_first).select { |n| n.include?("String#upcase") }
    gsub.each { |root| assert_operator root.index("String#gsub"), :<, root.index("String#upcase") }
  end

  NESTED = <<~'RUBY'
    require "stringio"
    def work = spin(0.06)
    class Any
      include Comparable
      def <=>(other) = (work; 0)
      def to_s = (work; "any")
      def hash = (work; 1)
    end
    def as(name, &block) = Cprof.labels(truth: name, &block)
    as("sorted") { [1].sort_by { work } }
    as("indexed") { { a: 1 }.each_with_index { work } }
    as("chained") { [1].each_with_index.map { work } }
    as("sliced") { (1..2).each_slice(2) { work } }
    as("made") { Array.new(1) { work } }
    as("method") { [1].method(:each).call { work } }
    as("least") { [Any.new, Any.new].each_entry.max }
    as("printed") { $stdout = StringIO.new; puts Any.new; $stdout = STDOUT }
    as("hashed") { list = [Any.new]; list.hash }
    as("compared") { Any.new.clamp(Any.new, Any.new) }
    as("caught") { catch(:done) { [1].each_entry { work } } }
  RUBY

  # C methods and what they call in the end, outermost first.
  NESTINGS = {
    "sorted" => ["Enumerable#sort_by", "Array#each"],
    "indexed" => ["Enumerable#each_with_index", "Hash#each"],
    "chained" => ["Enumerable#map", "Enumerator#each", "Enumerable#each_with_index", "Array#each"],
    "sliced" => ["Enumerable#each_slice", "Range#each"],
    "made" => [RUBY_VERSION < "3.3" ? "Class#new" : "Array.new", "Array#initialize"],
    "method" => ["Method#call", "Array#each"],
    "least" => ["Enumerable#max", "Enumerator#each", "Enumerable#each_entry", "Array#each", "Any#<=>"],
    "printed" => ["Kernel#puts", "IO::generic_writable#puts", "Any#to_s"],
    "hashed" => ["Array#hash", "Any#hash"],
    "compared" => ["Comparable#clamp", "Any#<=>"],
    "caught" => ["Kernel#catch", "block (2 levels) in <main>", "Enumerable#each_entry", "Array#each"]
  }.freeze

  def native?(name) = name.match?(/\+0x|\A\w+\z/)

  # Each C method is followed by functions of its own before the next: not C methods first, then all of their functions.
  def test_a_c_method_that_a_c_method_calls_stands_above_its_own_functions
    outcome = run_profiled(NESTED, rate: 500)
    assert_clean outcome
    seen = outcome.profile.samples.select { |s| s.names.include?("Object#work") }.group_by { |s| s.labels["truth"] }
    assert_equal NESTINGS.keys.sort, seen.keys.compact.sort
    NESTINGS.each do |truth, methods|
      seen[truth].each do |sample|
        root = sample.root_first
        stack = root[root.rindex("Object#as") + 2..]
        places = methods.map { |name| stack.index(name) }
        assert_equal places.compact.sort, places, "#{truth}: #{stack.join(" ")}"
        places.each_cons(2) do |place, following|
          next if methods[places.index(place)].start_with?("block")

          between = stack[place + 1...following]
          assert between.any? && between.all? { |name| native?(name) }, "#{truth}: #{stack.join(" ")}"
        end
        each = stack.index("Array#each")
        assert_equal "rb_ary_each", stack[each + 1], "#{truth}: #{stack.join(" ")}" if each
      end
    end
  end

  def test_garbage_collection_is_named
    outcome = run_profiled(<<~RUBY, rate: 500)
      spin(0.3)
      10.times { GC.start }
      till = cpu + 1
      GC.start while cpu < till
    RUBY
    assert_clean outcome
    share = outcome.profile.share { |s| s.names.include?("(garbage collector)") }
    assert_operator share, :>, 0.6
    outside = outcome.profile.share { |s| s.names.include?("Object#spin") && s.names.include?("(garbage collector)") }
    assert_operator outside, :<, 0.01
  end

  # From 3.3 on Ruby may then take another for the thread that runs.
  def test_garbage_collection_is_named_where_threads_move
    outcome = run_profiled(<<~'RUBY', rate: 500, environment: { "RUBY_MN_THREADS" => "1" })
      def collect
        till = cpu + 0.2
        GC.start while cpu < till
      end
      4.times do
        2.times.map { Thread.new { spin(0.1) } }.each(&:join)
        Fiber.new { collect }.resume
        Thread.new { Fiber.new { collect }.resume }.join
      end
    RUBY
    assert_clean outcome
    collecting, other = outcome.profile.samples.select { |s| s.names.include?("Object#collect") }
                               .partition { |s| s.names.include?("(garbage collector)") }
    assert_operator collecting.sum(&:weight), :>, 10 * other.sum(&:weight)
  end

  def test_fibers_enumerators_and_threads_have_their_own_stacks
    outcome = run_profiled(<<~RUBY, rate: 500)
      def in_fiber = Cprof.labels(truth: "in_fiber") { spin(0.2) }
      def in_enumerator = Cprof.labels(truth: "in_enumerator") { spin(0.2) }
      def in_thread = Cprof.labels(truth: "in_thread") { spin(0.3) }
      fiber = Fiber.new { in_fiber; Fiber.yield; in_fiber }
      fiber.resume
      fiber.resume
      enumerator = Enumerator.new { |y| in_enumerator; y << 1; in_enumerator; y << 2 }
      enumerator.next
      enumerator.next
      thread = Thread.new { Thread.current.name = "worker"; in_thread }
      thread.join
    RUBY
    assert_clean outcome
    profile = outcome.profile
    seen = by_truth(profile)
    seen.except(nil).each do |truth, samples|
      assert_operator samples.sum(&:weight), :>, 50, truth
      samples.each do |s|
        assert_equal ["Object##{truth}"], s.names & %w[Object#in_fiber Object#in_enumerator Object#in_thread]
        refute_includes s.names, "[truncated]"
        refute_includes s.names, "<main>"
      end
    end
    assert_equal %w[in_enumerator in_fiber in_thread], seen.keys.compact.sort
    thread = seen["in_thread"]
    assert_includes thread.map { |s| s.labels["thread.name"] }, "worker"
  end

  # What called a loop that has more frames than there is room for is not shown as called by it.
  def test_a_recursion_that_is_deeper_than_stacks_are_ends_with_what_runs
    outcome = run_profiled(<<~RUBY, rate: 500, environment: { "CPROF_MAX_FRAMES" => "40" })
      def deep(levels) = levels == 0 ? spin(0.5) : deep(levels - 1)
      deep(100)
      [2, 1].sort { deep(100); 0 }
    RUBY
    assert_clean outcome
    spinning = outcome.profile.samples.select { |s| s.names.include?("Object#spin") }
    assert_operator spinning.sum(&:weight), :>, 300
    spinning.each do |sample|
      beneath = sample.names.take_while { |name| name != "Object#spin" }
      assert_empty beneath.grep(/ruby_run_node|sort/), sample.root_first.join(";")
    end
  end
end
