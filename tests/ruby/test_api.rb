# frozen_string_literal: true

require "socket"

require_relative "helper"

class TestApi < CprofTest
  # Runs a program that starts the profiler by itself.
  def run_plain(program, environment: {}, &block)
    run_profiled(%(require "cprof"\n#{program}), environment: { "RUBYOPT" => nil, "CPROF_OUTPUT" => nil }.merge(environment), &block)
  end

  def test_start_stop_and_running_say_what_is_the_case
    outcome = run_plain(<<~RUBY)
      p Cprof.running?, Cprof.start(exporter: "none"), Cprof.running?, Cprof.flush, Cprof.stop, Cprof.running?, Cprof.stop
    RUBY
    assert_clean outcome
    assert_equal %w[false true true true true false false], outcome.output.split
  end

  def test_a_dump_has_every_thread_with_what_it_waits_for
    skip "looks are x86-64's so far" unless RUBY_PLATFORM.start_with?("x86_64")
    outcome = run_plain(<<~RUBY)
      require "json"
      reading, writing = IO.pipe
      { "reader" => -> { reading.read(1) }, "sleeper" => -> { sleep },
        "worker" => -> { loop { 100_000.times {} } } }.each do |name, body|
        Thread.new { body.call }.name = name
      end
      sleep 0.3
      dump = JSON.parse(Cprof.dump(format: :json))
      states = dump["threads"].to_h { |thread| [thread["name"], thread.values_at("state", "reason").compact] }
      p states.values_at("reader").first, states["sleeper"].first, states.key?("worker"), dump["complete"]
      puts Cprof.dump.lines.first
      puts Cprof.dump(format: "pprof").unpack("C2").inspect, Cprof.running?
      Cprof.dump(format: "xml") rescue puts $!.class, $!.message
    RUBY
    assert_clean outcome
    lines = outcome.output.lines(chomp: true)
    assert_equal ['["waiting", "io"]', '"waiting"', "true", "true"], lines[0, 4], outcome.output
    assert_match(/, process \d+ \(ruby\), /, lines[4])
    assert_equal ["[31, 139]", "false", "Cprof::Error", "format: 'xml': text, json or pprof is allowed"], lines[5..]
  end

  # A server that answers 404, as a collector without profiles does.
  def test_stop_says_that_the_only_profile_was_refused
    server = TCPServer.new("127.0.0.1", 0)
    refusing = Thread.new do
      connection = server.accept
      connection.readpartial(65_536)
      connection.write("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
      connection.close_write
      connection.read
    end
    outcome = run_plain(<<~RUBY)
      Cprof.start(exporter: "otlp", rate: 500, endpoint: "http://127.0.0.1:#{server.addr[1]}")
      spin(0.1)
      p Cprof.stop(timeout: 20)
    RUBY
    assert_equal "false", outcome.output.strip
    assert_match(/HTTP 404/, outcome.errors)
  ensure
    refusing&.kill
    server&.close
  end

  def test_stats_have_the_keys_of_the_interface
    outcome = run_plain(<<~RUBY)
      p Cprof.stats.values.sum
      Cprof.start(exporter: "none", rate: 500)
      spin(0.3)
      Cprof.flush
      puts Cprof.stats.keys
      p Cprof.stats[:samples]
    RUBY
    assert_clean outcome
    zero, *keys, samples = outcome.output.split
    assert_equal "0", zero
    assert_equal %w[samples samples_dropped samples_truncated samples_failed timer_overruns threads stacks
                    memory_bytes profiles_exported profiles_failed profiles_dropped bytes_sent metrics_exported metrics_failed
                    handler_ns_mean handler_ns_max collector_cpu_ns alloc_bytes heap_bytes resident_bytes gc_collections
                    gc_pause_ns gc_cpu_ns], keys
    assert_in_delta 150, samples.to_i, 20
  end

  RESERVOIRS = <<~RUBY
    module OpenTelemetry; module SDK; module Metrics; module Exemplar
      class AlignedHistogramBucketExemplarReservoir
        def offer(%s) = p(binding.local_variables.to_h { |name| [name, binding.local_variable_get(name)] })
      end
    end; end; end; end
    require "cprof/exemplars"
    RESERVOIR = OpenTelemetry::SDK::Metrics::Exemplar::AlignedHistogramBucketExemplarReservoir.new
  RUBY

  def test_exemplars_name_the_profile_that_runs
    outcome = run_plain(format(RESERVOIRS, "value: nil, timestamp: nil, attributes: nil, context: nil") + <<~RUBY)
      RESERVOIR.offer(value: 1, timestamp: 2, attributes: { "a" => 3 }, context: 4)
      Cprof.start(exporter: "none")
      RESERVOIR.offer(value: 1, timestamp: 2, attributes: nil, context: 4)
      puts Cprof::Native.profile_id
    RUBY
    assert_clean outcome
    id = outcome.output.split.last
    assert_match(/\A\h{32}\z/, id)
    first, second = outcome.output.lines.map { |line| line.delete(" ") }
    assert_equal %({:value=>1,:timestamp=>2,:attributes=>{"a"=>3},:context=>4}), first.chomp.gsub(/(\w+):(?=[^:=])/, ":\\1=>")
    assert_includes second, %("profile.id"=>"#{id}")
  end

  def test_reservoirs_that_are_not_as_known_stay_as_they_are
    outcome = run_plain(format(RESERVOIRS, "value:") + "RESERVOIR.offer(value: 1)")
    assert_equal "cprof: exemplars name no profile: this opentelemetry-metrics-sdk has other reservoirs", outcome.errors.chomp
  end

  def test_a_value_that_makes_no_sense_is_an_error_that_names_it
    outcome = run_plain(<<~RUBY)
      [{ rate: 5000 }, { output: "x.nothing" }, { types: ["magic"] }].each do |options|
        Cprof.start(exporter: "file", **options)
      rescue Cprof::Error => e
        puts e.message
      end
    RUBY
    assert_clean outcome
    messages = outcome.output.lines
    assert_equal 3, messages.size
    assert_match(/rate.*5000/i, messages.first)
  end

  def test_a_value_of_the_wrong_kind_is_an_error_as_well
    outcome = run_plain(<<~'RUBY')
      [{ rate: 0 }, { rate: -1 }, { rate: "100" }, { rate: 2**70 }, { interval: 0 }, { interval: "5" }, { interval: 0.0 / 0 },
       { service_name: "a\0b" }, { types: ["a\0"] }, { labels: 5 }, { labels: { a: "\0" } }, { headers: "a=b" }].each do |options|
        Cprof.start(exporter: "none", **options)
        puts "started"
      rescue Cprof::Error => e
        puts e.message[/\A\w+/]
      end
      p Cprof.running?, Cprof.start(exporter: "none", service_name: "ä".encode("UTF-16LE"), rate: nil)
    RUBY
    assert_clean outcome
    assert_equal %w[rate] * 4 + %w[interval] * 3 + %w[service_name types labels labels headers false true], outcome.output.split
  end

  # What other threads raise (Timeout, Rack::Timeout) is the application's, and its labels end with it.
  def test_labels_neither_keep_nor_outlive_what_another_thread_raises
    outcome = run_plain(<<~'RUBY')
      Cprof.start(exporter: "none")
      class Stop < StandardError; end
      class Slow; def to_s = (sleep(0.001); "slow"); end
      left = 60.times.count do |n|
        ready = Queue.new
        thread = Thread.new do
          ready << 1
          i = 0
          loop { Cprof.labels(a: n.even? ? Slow.new : (i += 1)) { } }
        rescue Stop
          Thread.current[:__cprof_labels]
        end
        ready.pop
        sleep rand * 0.005
        thread.raise(Stop)
        thread.join(5) ? thread.value : p(:kept)
      end
      p left
    RUBY
    assert_clean outcome
    assert_equal "0\n", outcome.output
  end

  def test_threads_that_mean_something_else_by_their_name_start_and_fork
    outcome = run_plain(<<~'RUBY', environment: { "CPROF_EXPORTER" => "none" })
      class Named < Thread; def name = :symbol; end
      Named.new { p Cprof.start }.join
      Named.new { Thread.current.name = "x"; Process.wait(fork { exit 3 }); p $?.exitstatus }.join
    RUBY
    assert_clean outcome
    assert_equal %w[true 3], outcome.output.split
  end

  def test_profile_writes_what_its_block_did_and_returns_its_value
    run_plain(<<~RUBY) do |outcome|
      def inside = spin(0.2)
      spin(0.1)
      p Cprof.profile("block.pb.gz", rate: 500) { inside; 42 }
      begin
        Cprof.profile("raise.pb.gz") { raise "x" }
      rescue RuntimeError
        p Cprof.running?
      end
    RUBY
      assert_clean outcome
      assert_equal %w[42 false], outcome.output.split
      profile = Pprof.read(File.join(outcome.folder, "block.pb.gz"))
      assert_operator profile.share { |s| s.names.include?("Object#inside") }, :>, 0.95
    end
  end

  JOINED = /\Acprof: start: already running(, by (?<who>\S+))?; this call joins it(, which keeps its own (?<own>.*))?\n\z/

  def test_a_second_start_joins_and_each_stop_gives_one_back
    run_plain(<<~'RUBY', environment: { "CPROF_OUTPUT" => "out.pb.gz" }) do |outcome|
      def both = spin(0.1)
      def one = spin(0.1)
      p Cprof.start(rate: 500), Cprof.start(rate: 500, labels: { a: 1 }), Cprof.start
      both
      p Cprof.stop, Cprof.stop, Cprof.running?
      one
      p Cprof.stop, Cprof.running?
    RUBY
      assert outcome.status.success?, outcome.errors
      assert_equal %w[true true true true true true true false], outcome.output.split
      assert_equal [nil, "labels"], JOINED.match(outcome.errors)&.captures
      profile = Pprof.read(File.join(outcome.folder, "out.pb.gz"))
      %w[Object#both Object#one].each { |name| assert(profile.samples.any? { |s| s.names.include?(name) }, name) }
    end
  end

  LIFE = <<~'RUBY'
    def live
      $done = []
      $done << Cprof.start(exporter: :none, service_name: "x", rate: 100r, types: ["cpu"], labels: { a: 1, "b" => :c }, interval: 5, native: true)
      Thread.current.name = "x"
      $done << Cprof.flush(timeout: 2) << Cprof.stop(timeout: 5.0) << Cprof.profile("block.pb.gz") { 1 }
      pid = fork { exit!(0) }
      $done << Process.wait2(pid)[1].exitstatus
      $done << Cprof.start(exporter: "none")
    end
  RUBY

  # Whatever Ruby calls by a method may have been redefined: of Ruby's own only the originals are called, which
  # have been kept aside.
  ORIGINALS = %w[#<Class:Thread>#handle_interrupt #<Class:Thread>#list UnboundMethod#bind_call Thread#native_thread_id Thread#name
                 #<Class:Process>#_fork Thread#name= Kernel#exit!].freeze

  def test_start_stop_and_exit_call_nothing_that_a_program_can_redefine
    outcome = run_plain(LIFE + <<~'RUBY')
      calls = []
      trace = TracePoint.new(:call, :c_call) do |call|
        calls << "#{call.defined_class}##{call.method_id}" if call.path.match?(%r{/cprof(\.rb|/\w+\.rb)\z|eval})
      end
      at_exit { trace.disable; puts calls.uniq.grep_v(/Cprof/) }
      trace.enable
      live
      trace.disable
      p $done
      trace.enable
    RUBY
    assert_clean outcome
    done, *calls = outcome.output.lines(chomp: true)
    assert_equal "[true, true, true, 1, 0, true]", done
    assert_includes calls, "#<Class:Process>#_fork" # it does look
    assert_empty calls - ORIGINALS
  end

  def test_a_program_that_redefines_rubys_methods_starts_and_stops_as_ever
    outcome = run_plain(LIFE + <<~'RUBY')
      at_exit { STDOUT.syswrite($done == [true, true, true, 1, 0, true] ? "all done" : "not") }
      redefined = { Kernel => %i[Float Array Integer String Hash Rational tap warn at_exit proc format then hash nil? is_a? to_s
                                 instance_of? public_send class freeze method singleton_class],
                    Module => %i[prepend instance_method const_get], Array => %i[join map each to_h flatten sort],
                    Hash => %i[map each to_h merge each_pair to_hash], String => %i[to_s to_str encode include? dump encoding ascii_only?],
                    Symbol => %i[to_s name to_proc], Integer => %i[to_s times to_f positive? to_i], Float => %i[to_s to_f positive?],
                    Rational => %i[positive? real?], Comparable => %i[clamp], Numeric => %i[real?],
                    Thread => %i[name native_thread_id], UnboundMethod => %i[bind_call], Method => %i[call unbind],
                    Thread.singleton_class => %i[list handle_interrupt main], Ractor.singleton_class => %i[current main],
                    Process.singleton_class => %i[clock_gettime], Warning.singleton_class => %i[warn], ENV.singleton_class => %i[[] fetch] }
      $VERBOSE = nil
      all = redefined.flat_map { |owner, names| names.map { |name| [owner, name, "#{owner}##{name} was called"] } }
      def redefine(owner, name, message) = owner.define_method(name) { |*| STDERR.syswrite(message); exit!(9) }
      while (one = all.pop)
        redefine(*one)
      end
      live
    RUBY
    assert outcome.status.success?, outcome.errors
    assert_equal "", outcome.errors
    assert_equal "all done", outcome.output
  end

  # As a Gemfile's `gem "cprof"` has it.
  def test_with_cprof_enabled_to_require_it_is_enough
    program = <<~'RUBY'
      def work = spin(0.2)
      p Cprof.running?
      work
    RUBY
    { "1" => true, "true" => true, "0" => false, "" => false, nil => false }.each do |enabled, runs|
      run_plain(program, environment: { "CPROF_ENABLED" => enabled, "CPROF_OUTPUT" => "out.pb.gz" }) do |outcome|
        assert_clean outcome
        assert_equal "#{runs}\n", outcome.output, enabled
        assert_equal runs, File.exist?(File.join(outcome.folder, "out.pb.gz"))
      end
    end
  end

  def test_a_program_that_starts_by_itself_under_cprof_enabled_loses_nothing
    outcome = run_profiled(<<~'RUBY')
      require "cprof/auto"
      def before = spin(0.1)
      def after = spin(0.1)
      p Cprof.start(service_name: "mine")
      before
      Cprof.stop
      after
    RUBY
    assert outcome.status.success?, outcome.errors
    assert_equal %w[CPROF_ENABLED service_name], JOINED.match(outcome.errors)&.captures
    %w[Object#before Object#after].each { |name| assert(outcome.profile.samples.any? { |s| s.names.include?(name) }, name) }
  end

  def test_forked_workers_that_start_join_their_own_profiler
    run_profiled(<<~'RUBY', environment: { "CPROF_OUTPUT" => "out.pb.gz" }) do |outcome|
      def work = spin(0.2)
      module Early # a hook that comes before ours
        def _fork = super.tap { |pid| Cprof.start(rate: 250) if pid == 0 }
      end
      Process.singleton_class.prepend(Early)
      workers = 2.times.map { fork { p Cprof.start; work } }
      p(workers.map { |pid| Process.wait2(pid).last.success? })
    RUBY
      assert outcome.status.success?, outcome.errors
      assert_equal 3, outcome.output.scan("true").size - 1
      parts = Dir[File.join(outcome.folder, "out.*.pb.gz")].map { |path| Pprof.read(path) }
      assert_equal 2, parts.size
      parts.each { |part| assert_operator part.share { |s| s.names.include?("Object#work") }, :>, 0.8 }
    end
  end

  def test_profile_captures_its_block_beside_what_runs_already
    run_profiled(<<~'RUBY', environment: { "CPROF_OUTPUT" => "all.pb.gz" }) do |outcome|
      def outside = spin(0.2)
      def inside = spin(0.2)
      outside
      p Cprof.profile("block.pb.gz") { inside; 42 }
      p Cprof.running?
      outside
    RUBY
      assert_clean outcome
      assert_equal %w[42 true], outcome.output.split
      block, all = %w[block all].map { |name| Pprof.read(File.join(outcome.folder, "#{name}.pb.gz")) }
      assert_operator block.share { |s| s.names.include?("Object#inside") }, :>, 0.9
      assert_equal 0, block.share { |s| s.names.include?("Object#outside") }
      assert_in_delta 2 / 3r, all.share { |s| s.names.include?("Object#outside") }, 0.1
      assert(all.samples.any? { |s| s.names.include?("Object#inside") })
    end
  end

  def test_blocks_under_recursion_and_in_threads_at_once_each_have_their_profile
    run_plain(<<~'RUBY') do |outcome|
      def level(n) = Cprof.profile("deep.pb.gz", rate: 500) { spin(0.05); n.zero? ? :end : level(n - 1) }
      def alone(n) = Cprof.profile("thread#{n}.pb.gz", rate: 500) { send("of#{n}"); n }
      def of0 = spin(0.15)
      def of1 = spin(0.15)
      def of2 = spin(0.15)
      p level(3)
      p 3.times.map { |n| Thread.new { alone(n) } }.map(&:value)
      p 40.times.map { |n| Thread.new { Cprof.profile("many#{n}.pb.gz") { sleep 0.3; n } } }.sum(&:value)
      p Cprof.running?
    RUBY
      assert outcome.status.success?, outcome.errors
      assert_equal ["end", "[0, 1, 2]", 40.times.sum.to_s, "false"].map { |text| text.sub("end", ":end") }, outcome.output.lines.map(&:chomp)
      deep = Pprof.read(File.join(outcome.folder, "deep.pb.gz"))
      assert_in_delta 0.2, deep.cpu_seconds, 0.05
      3.times do |n|
        profile = Pprof.read(File.join(outcome.folder, "thread#{n}.pb.gz"))
        assert(profile.samples.any? { |s| s.names.include?("Object#of#{n}") }, n)
      end
      # No more than 16 at a time: the others run all the same.
      assert_equal 16, Dir[File.join(outcome.folder, "many*.pb.gz")].size
      assert_equal 24, outcome.errors.lines.grep(/\Acprof: /).size, outcome.errors
    end
  end

  # What other threads raise (Timeout) must not leave half of it done: the names of threads that were there are told last.
  def test_a_start_that_another_thread_interrupts_is_whole_or_none
    run_plain(<<~'RUBY') do |outcome|
      class Stop < StandardError; end
      def older = spin(0.02)
      wanted, done = Queue.new, Queue.new
      Thread.new { Thread.current.name = "a thread from before"; done << older while wanted.pop }
      30.times do |n|
        starter = Thread.new { Cprof.start(rate: 1000, output: "run#{n}.pb.gz"); sleep }
        starter.report_on_exception = false
        sleep 0.0003 * (n % 10)
        n.odd? ? starter.kill : starter.raise(Stop)
        starter.join rescue nil
        next unless Cprof.running?
        wanted << 1
        done.pop
        Cprof.stop
      end
    RUBY
      assert_clean outcome
      runs = Dir[File.join(outcome.folder, "run*.pb.gz")].map { |path| Pprof.read(path) }
      older = runs.flat_map(&:samples).select { |s| s.names.include?("Object#older") }
      refute_empty older
      assert_equal ["a thread from before"], older.map { |s| s.labels["thread.name"] }.uniq
    end
  end

  def test_a_profile_that_another_thread_interrupts_is_stopped
    run_plain(<<~'RUBY') do |outcome|
      class Stop < StandardError; end
      left = 40.times.count do |n|
        profiled = Thread.new { Cprof.profile("run.pb.gz") { sleep 0.003 } }
        profiled.report_on_exception = false
        sleep rand * 0.012
        n.odd? ? profiled.kill : profiled.raise(Stop)
        profiled.join rescue nil
        Cprof.running? && Cprof.stop
      end
      p left
    RUBY
      assert_clean outcome
      assert_equal "0\n", outcome.output
    end
  end

  def test_threads_that_start_and_stop_at_once_do_no_harm
    outcome = run_plain(<<~'RUBY', environment: { "MALLOC_PERTURB_" => "165" })
      finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 2
      till = ->(&block) { Thread.new { block.call while Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish } }
      n = 0
      threads = [till.() { Class.new { class_eval("def m#{n += 1}(x) = [x].map { |y| y + #{n} }.sum"); new.send("m#{n}", 1) } }]
      2.times { threads << till.() { Cprof.start(exporter: "none", rate: 1000) rescue Cprof::Error } << till.() { Cprof.stop; sleep 0.002 } }
      threads.each(&:join)
      Cprof.stop while Cprof.running?
      p Cprof.start(exporter: "none", rate: 500)
      spin(0.2)
      Cprof.flush
      p Cprof.stats[:samples] > 50, Cprof.stats[:samples_failed] < 10
    RUBY
    assert outcome.status.success?, outcome.errors
    assert_equal [JOINED], [JOINED, *outcome.errors.lines.map { |line| JOINED.match?(line) ? JOINED : line }].uniq
    assert_equal %w[true true true], outcome.output.split
  end

  def test_a_start_after_the_programs_end_began_is_stopped_as_well
    run_plain(<<~'RUBY') do |outcome|
      at_exit { p Cprof.running?, Cprof.start(output: "late.pb.gz", rate: 500); spin(0.2) }
      Cprof.start(output: "early.pb.gz", rate: 500)
      Thread.new { loop { [3, 1].sort_by { |x| x.to_s } } }
    RUBY
      assert_clean outcome
      assert_equal %w[false true], outcome.output.split
      assert_operator Pprof.read(File.join(outcome.folder, "late.pb.gz")).weight, :>, 30
    end
  end

  def test_a_ractor_that_starts_is_told_where_it_is_possible
    outcome = run_plain(<<~'RUBY')
      Warning[:experimental] = false
      ractor = Ractor.new { begin; Cprof.start(exporter: "none"); rescue Cprof::Error => e; e.message; end }
      puts ractor.respond_to?(:value) ? ractor.value : ractor.take
      p Cprof.running?
    RUBY
    assert_clean outcome
    assert_equal "Cprof.start: only in the main Ractor\nfalse\n", outcome.output
  end

  # Where nothing that waits may be called.
  def test_a_signals_handler_may_start_flush_and_stop
    outcome = run_plain(<<~'RUBY')
      done = Queue.new
      trap("USR1") { p Cprof.start(exporter: "none"), Cprof.labels(a: 1) { Cprof.flush }, Cprof.stop; done << 1 }
      Process.kill(:USR1, Process.pid)
      done.pop
    RUBY
    assert_clean outcome
    assert_equal %w[true true true], outcome.output.split
  end

  def test_ractors_name_their_threads
    outcome = run_plain(<<~'RUBY')
      Warning[:experimental] = false
      Cprof.start(exporter: "none")
      ractor = Ractor.new { Thread.current.name = "first"; Thread.new { (Thread.current.name = "second") + Thread.main.name }.value }
      puts ractor.respond_to?(:value) ? ractor.value : ractor.take
    RUBY
    assert_clean outcome
    assert_equal "secondfirst\n", outcome.output
  end

  # Also those that another native thread runs by then, or a native thread that has run others.
  def test_threads_show_their_ruby_frames_after_every_start
    run_plain(<<~'RUBY') do |outcome|
      def early = spin(0.01)
      def between = spin(0.01)
      go = true
      threads = 2.times.map { Thread.new { early while go } }
      2.times do |n|
        Cprof.start(rate: 500, output: "start#{n}.pb.gz")
        4.times.map { Thread.new { spin(0.02) } }.each(&:join)
        sleep 0.8
        Cprof.stop
        4.times.map { Thread.new { spin(0.02) } }.each(&:join)
        threads << Thread.new { between while go }
      end
      go = false
      threads.each(&:join)
    RUBY
      assert_clean outcome
      2.times do |n|
        profile = Pprof.read(File.join(outcome.folder, "start#{n}.pb.gz"))
        names = ["Object#spin", "Cprof.start", "Cprof.stop"]
        assert_operator profile.share { |s| (s.names & names).any? }, :>, 0.93, "start #{n}"
        assert_equal n == 1, profile.samples.any? { |s| s.names.include?("Object#between") }
      end
    end
  end

  def test_labels_follow_fibers_and_end_with_their_block
    outcome = run_profiled(<<~RUBY, rate: 500)
      def plain = spin(0.2)
      def labelled = spin(0.2)
      def nested = spin(0.2)
      def elsewhere = spin(0.2)
      plain
      Cprof.labels(endpoint: "/users") do
        fiber = Fiber.new { elsewhere; Fiber.yield; elsewhere }
        fiber.resume
        labelled
        Cprof.labels(step: 2) { nested; fiber.resume; nested }
        labelled
      end
      plain
    RUBY
    assert_clean outcome
    seen = Hash.new { |hash, key| hash[key] = Hash.new(0) }
    outcome.profile.samples.each do |sample|
      method = sample.names.find { |n| %w[Object#plain Object#labelled Object#nested Object#elsewhere].include?(n) }
      seen[method][sample.labels.slice("endpoint", "step")] += sample.weight if method
    end
    { "Object#plain" => {}, "Object#labelled" => { "endpoint" => "/users" },
      "Object#nested" => { "endpoint" => "/users", "step" => "2" }, "Object#elsewhere" => {} }.each do |method, labels|
      share = seen[method][labels].fdiv(seen[method].values.sum)
      assert_operator share, :>, 0.97, "#{method} #{seen[method]}"
    end
  end

  def test_labels_of_a_ractor_leave_fibers_elsewhere_theirs
    outcome = run_profiled(<<~'RUBY', rate: 500)
      Warning[:experimental] = false
      ractor = Ractor.new { Cprof.labels(of: "ractor") { 1 } }
      ractor.respond_to?(:value) ? ractor.value : ractor.take
      def of_a = spin(0.1)
      def of_b = spin(0.1)
      def bare = spin(0.1)
      fibers = %w[a b].map { |name| Fiber.new { Cprof.labels(of: name) { Fiber.yield; send("of_#{name}"); Fiber.yield } } }
      fibers.each(&:resume)
      bare
      fibers.each(&:resume)
    RUBY
    assert_clean outcome
    { "Object#of_a" => "a", "Object#of_b" => "b", "Object#bare" => nil }.each do |method, label|
      assert_equal [label], outcome.profile.samples.filter_map { |s| [s.labels["of"]] if s.names.include?(method) }.uniq.flatten, method
    end
  end

  def test_of_labels_with_one_name_the_inner_one_holds
    outcome = run_profiled(<<~'RUBY', rate: 500)
      def work = spin(0.1)
      [1, 9].each do |inner|
        Cprof.labels(inner: inner) { Cprof.labels(a: 5) { Cprof.labels("a" => inner) { work } } }
        Cprof.labels(inner: inner) { Cprof.labels("a" => 5) { Cprof.labels(a: inner) { work } } }
      end
    RUBY
    assert_clean outcome
    labels = outcome.profile.samples.filter_map { |s| s.labels.values_at("inner", "a") if s.names.include?("Object#work") }
    assert_equal [%w[1 1], %w[9 9]], labels.uniq.sort
  end

  def test_labels_of_any_kind_do_no_harm
    outcome = run_profiled(<<~'RUBY', rate: 500)
      def labelled = spin(0.15)
      class Bad; def to_s = raise("no"); end
      [["x" * 1_000_000, "long"], ["a\0b", "nul"], ["\xff\xfe", "broken"], ["ä".encode("UTF-16LE"), "wide"],
       [Bad.new, "bad"], [BasicObject.new, "basic"], [nil, "nil"], [:"ü" , "symbol"]].each do |value, kind|
        Cprof.labels(kind: kind, value: value) { labelled }
      end
      Cprof.labels("text key": 1, **(1..100).to_h { |i| [:"many#{i}", i] }) { labelled }
      begin
        Cprof.labels(kind: "raised") { raise "x" }
      rescue RuntimeError
        labelled
      end
      p Thread.current[:__cprof_labels]
    RUBY
    assert_clean outcome
    assert_equal "nil\n", outcome.output
    values = outcome.profile.samples.to_h { |s| s.labels.values_at("kind", "value") }
    assert_equal "x" * 255, values["long"]
    assert_equal "a?b", values["nul"]
    assert_equal "ä", values["wide"]
    assert_equal ["?", "?", "ü"], values.values_at("bad", "basic", "symbol")
    assert values["broken"].valid_encoding?
    refute values.key?("raised")
    assert_operator outcome.profile.samples.map { |s| s.labels.size }.max, :<=, 66
  end

  # What is labelled the same way again is remembered: that must not mix up anything.
  def test_labels_that_are_made_again_are_the_same
    outcome = run_profiled(<<~'RUBY', rate: 500)
      def a = spin(0.004)
      def b = spin(0.004)
      def c = spin(0.004)
      def d = spin(0.004)
      text = +"a"
      compact_always
      40.times do |i|
        text.replace("a")
        Cprof.labels(of: text) { a }
        text.replace("b")
        Cprof.labels(of: text) { b; Cprof.labels(in: 1) { c }; Cprof.labels(in: false) { d } }
        Cprof.labels(of: "x", in: 1) { Cprof.labels(of: "b") { c } }
        300.times { |n| Cprof.labels(of: n) { Cprof.labels(of: "y#{n}", i: i) { } } } if i % 8 == 0
        GC.start
      end
      p Thread.current[:__cprof_labels]
      p Ractor.new { Cprof.labels(of: "ractor") { Cprof.labels(of: 2) { Thread.current[:__cprof_labels].to_h } } }.then { |r| r.respond_to?(:value) ? r.value : r.take }
      begin
        Cprof.labels(1) { }
      rescue ArgumentError
        puts "one too many"
      end
      begin
        Cprof.labels(a: 1)
      rescue LocalJumpError
        puts "no block"
      end
      p Cprof.labels { 7 }
    RUBY
    assert outcome.status.success?, outcome.errors
    assert_match(/\Anil\n\{.*of.*2\}\none too many\nno block\n7\n\z/, outcome.output)
    labels = { "a" => ["a", nil], "b" => ["b", nil], "c" => %w[b 1], "d" => %w[b false] }
    wrong = outcome.profile.samples.select do |s|
      name = s.names.find { |n| n.match?(/\AObject#[abcd]\z/) }&.delete_prefix("Object#")
      name && s.labels.values_at("of", "in") != labels[name]
    end
    assert_empty wrong.map { |s| [s.root_first, s.labels] }
  end

  def test_more_labels_than_there_is_room_for_are_merged_and_counted
    outcome = run_profiled(<<~'RUBY', rate: 1000)
      def labelled = spin(0.001)
      3000.times { |i| Cprof.labels(user: i) { labelled } }
      Cprof.flush
      Cprof.labels(user: "after") { spin(0.1) }
    RUBY
    assert_clean outcome
    samples = outcome.profile.samples.select { |s| s.names.include?("Object#labelled") }
    sets = samples.map { |s| s.labels.slice("user", "labels") }.uniq
    assert_operator sets.size, :<=, 1025
    unlabelled = samples.select { |s| s.labels["labels"] == "[overflow]" }.sum(&:weight)
    assert_operator unlabelled, :<=, outcome.profile.counted("samples_unlabelled")
    assert_operator outcome.profile.share { |s| s.labels["user"] == "after" }, :>, 0.01
  end

  def test_a_gem_whose_extension_was_not_built_warns_once_and_does_nothing
    library = File.dirname(Gem.find_files("cprof/version.rb").first, 2)
    Dir.mktmpdir do |folder|
      FileUtils.mkdir_p(File.join(folder, "cprof"))
      Dir[File.join(library, "{cprof.rb,cprof/*.rb}")].each do |path|
        FileUtils.cp(path, File.join(folder, path.delete_prefix(library)))
      end
      program = 'require "cprof"; p Cprof.start, Cprof.running?, Cprof.profile("x.html") { 1 }, Cprof.labels(a: 1) { 2 }, Cprof.stop, Cprof.stats'
      out, errors, status = run_for(20, { "RUBYOPT" => nil, "GEM_PATH" => folder, "RUBYLIB" => nil }, *RUBY, "--disable-gems", "-I", folder, "-e", program)
      assert status.success?, errors
      assert_equal 1, errors.lines.size, errors
      assert_match(/nothing is profiled/, errors)
      assert_equal "false false 1 2 false {}", out.split.join(" ")
    end
  end
end
