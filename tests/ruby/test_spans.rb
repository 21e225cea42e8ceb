# frozen_string_literal: true

require_relative "helper"

# Samples and the OpenTelemetry spans they are taken in. Every test runs with a double of each
# of the API's two storages, and with the real gems where these are installed or where
# CPROF_TEST_OTEL names a checkout of opentelemetry-ruby.
class TestSpans < CprofTest
  CHECKOUT = ENV.fetch("CPROF_TEST_OTEL", nil)
  PARTS = %w[api sdk common registry semantic_conventions].freeze

  # What the programs call the API by. `span` runs a block in a span and tells whose it is.
  PREPARE = <<~RUBY
    require ENV.fetch("OTEL_LIBRARY")
    OpenTelemetry::SDK.configure if defined?(OpenTelemetry::SDK)
    TRACER = OpenTelemetry.tracer_provider.tracer("test")
    $stdout.sync = true
    def tell(name, span) = $stdout.write("\#{name} \#{span.context.hex_trace_id} \#{span.context.hex_span_id}\\n")
    def span(name) = TRACER.in_span(name) { |span| tell(name, span); yield span }
  RUBY

  def self.real?
    CHECKOUT || Gem::Specification.any? { |gem| gem.name == "opentelemetry-sdk" }
  end

  # What selects an API: for the double its storage.
  def self.environments
    double = { "OTEL_LIBRARY" => File.join(__dir__, "otel_double.rb") }
    paths = CHECKOUT ? PARTS.map { |part| File.join(CHECKOUT, part, "lib") } : []
    { "fiber_storage" => double.merge("CPROF_TEST_OTEL_STORAGE" => "fiber"),
      "thread_storage" => double.merge("CPROF_TEST_OTEL_STORAGE" => "thread"),
      "the_real_gems" => { "OTEL_LIBRARY" => "opentelemetry-sdk", "OTEL_TRACES_EXPORTER" => "none",
                           "RUBYLIB" => [*paths, ENV.fetch("RUBYLIB", nil)].compact.join(":") } }
  end

  # Declares a test for each API.
  def self.with_each_api(name, &body)
    environments.each do |api, environment|
      define_method("test_#{name}_#{api}") do
        skip "opentelemetry-sdk is not installed, and CPROF_TEST_OTEL names no checkout" if api == "the_real_gems" && !self.class.real?
        instance_exec(environment, &body)
      end
    end
  end

  # The spans that a program told of: its name for them => [trace id, span id].
  def told(outcome)
    outcome.output.lines.to_h { |line| line.split.then { |name, *ids| [name, ids] } }
  end

  def link_of(sample)
    sample.labels.values_at("trace_id", "span_id")
  end

  # Asserts that samples carry the span that the block finds for their stack, nil for none; where
  # it says :any they are left out. Returns the weight looked at, by span.
  def assert_linked(profile, spans)
    wrong = Hash.new(0)
    right = Hash.new(0)
    profile.samples.each do |sample|
      name = yield sample.root_first
      next if name == :any

      expected = name ? spans.fetch(name) : [nil, nil]
      (link_of(sample) == expected ? right : wrong)[name] += sample.weight
    end
    assert_operator wrong.values.sum, :<=, right.values.sum / 1000, "wrong: #{wrong.first(5)}, right: #{right.first(5)}"
    right
  end

  REQUESTS = 240

  # Those that are served at once have the same work: what runs from one tick of the kernel to the next
  # counts to where the second finds it, so that only few ticks tell one kind from another.
  SERVER = "REQUESTS = #{REQUESTS}\n#{<<~'RUBY'}"
    require "socket"
    REQUESTS.times { |n| eval "def request_#{n}(pieces) = pieces.times { spin(0.002); Thread.pass }" }
    server = TCPServer.new("127.0.0.1", 0)
    client = fork do
      Cprof.stop if defined?(Cprof)
      queue = Queue.new
      REQUESTS.times { |n| queue << n }
      queue.close
      8.times.map do
        Thread.new do
          while (n = queue.pop)
            TCPSocket.open("127.0.0.1", server.addr[1]) { |socket| socket.puts n; exit! 1 unless socket.gets == "done #{n}\n" }
          end
        end
      end.each(&:join)
    end
    sockets = Queue.new
    handlers = 8.times.map do
      Thread.new do
        while (socket = sockets.pop)
          n = Integer(socket.gets)
          span("request_#{n}") { send("request_#{n}", 4 * 2**(n * 3 / REQUESTS)) }
          socket.puts "done #{n}"
          socket.close
        end
      end
    end
    REQUESTS.times { sockets << server.accept }
    sockets.close
    handlers.each(&:join)
    Process.wait(client)
    exit $?.exitstatus
  RUBY

  # Where threads move, Ruby's scheduler works for a thread in a span with none of its frames to be seen:
  # such stacks are let be.
  #
  # Runs the server; returns the weight of the samples in requests of one, two and four parts.
  def serve(environment, moving: false)
    outcome = run_profiled(PREPARE + SERVER, environment: environment, rate: 500)
    assert_clean outcome
    spans = told(outcome)
    assert_equal REQUESTS, spans.size
    found = assert_linked(outcome.profile, spans) do |names|
      names.find { |n| n.match?(/#request_\d+\z/) }&.delete_prefix("Object#") ||
        (names.any? { |n| n.match?(/in_span|Object#span/) } || (moving && names.none? { |n| n.include?("<main>") }) ? :any : nil)
    end
    found.delete(nil)
    found.each_with_object([0, 0, 0]) { |(name, weight), kinds| kinds[name[/\d+/].to_i * 3 / REQUESTS] += weight }
  end

  with_each_api("samples_of_concurrent_requests_carry_their_own_span") do |environment|
    work = serve(environment)
    [1, 2, 4].zip(work) { |share, weight| assert_share share / 7.0, weight.fdiv(work.sum), 0.03, "requests of #{share}" }
  end

  with_each_api("foreign_spans_are_asked_after_the_heap_was_compacted") do |environment|
    outcome = run_profiled(<<~'RUBY', environment: environment, rate: 500)
      require ENV.fetch("OTEL_LIBRARY")
      Ids = Struct.new(:trace_id, :span_id) { def valid? = true }
      Theirs = Struct.new(:context)
      GC.verify_compaction_references(toward: :empty, RUBY_VERSION < "3.2" ? :double_heap : :expand_heap => true)
      def in_theirs = spin(0.1)
      span = Theirs.new(Ids.new(["12" * 16].pack("H*"), ["34" * 8].pack("H*")))
      key = OpenTelemetry::Trace.module_eval { const_get(:CURRENT_SPAN_KEY) }
      OpenTelemetry::Context.with_value(key, span) { in_theirs }
    RUBY
    assert_clean outcome
    assert_linked(outcome.profile, { "theirs" => ["12" * 16, "34" * 8] }) do |names|
      names.include?("Object#in_theirs") ? "theirs" : :any
    end
  end

  # Every allocation collects and moves what it may.
  with_each_api("the_api_is_found_amid_collections_that_move_it") do |environment|
    run_profiled(<<~'RUBY', environment: environment.merge("RUBYOPT" => nil, "CPROF_OUTPUT" => nil)) do |outcome|
      require "cprof"
      Cprof.start(exporter: "none")
      Cprof.stop
      require ENV.fetch("OTEL_LIBRARY")
      OpenTelemetry::SDK.configure if defined?(OpenTelemetry::SDK)
      def in_found = spin(0.2)
      compact_always
      GC.stress = true
      Cprof.start(rate: 500, output: "found.pb.gz", labels: { a: "b" })
      GC.stress = false
      GC.compact
      OpenTelemetry.tracer_provider.tracer("test").in_span("found") do |span|
        puts "found #{span.context.hex_trace_id} #{span.context.hex_span_id}"
        in_found
      end
      Cprof.stop
    RUBY
      assert_clean outcome
      right = assert_linked(Pprof.read(File.join(outcome.folder, "found.pb.gz")), told(outcome)) do |names|
        names.include?("Object#in_found") ? "found" : :any
      end
      assert_operator right["found"], :>, 50
    end
  end

  # What only a tracer's own code could tell of a thread that was in its span before is not asked in
  # Ruby's postponed jobs, which swallow whatever other threads raise meanwhile.
  with_each_api("a_start_amid_foreign_spans_swallows_nothing") do |environment|
    run_profiled(<<~'RUBY', environment: environment.merge("RUBYOPT" => nil, "CPROF_OUTPUT" => nil)) do |outcome|
      require "cprof"
      require ENV.fetch("OTEL_LIBRARY")
      class Slow < BasicObject
        def context = ::Kernel.sleep(0.5)
      end
      key = OpenTelemetry::Trace.module_eval { const_get(:CURRENT_SPAN_KEY) }
      def in_slow = loop { spin(0.01) }
      thread = Thread.new { OpenTelemetry::Context.with_value(key, Slow.new) { in_slow } }
      thread.report_on_exception = false
      Thread.pass until thread.backtrace.to_s.include?("in_slow")
      Cprof.start(rate: 500, output: "slow.pb.gz")
      sleep 0.2
      thread.raise("stopped")
      puts(begin; thread.join(10); "swallowed"; rescue => e; e.message; end)
      Cprof.stop
    RUBY
      assert_clean outcome
      assert_equal "stopped\n", outcome.output
      assert_operator Pprof.read(File.join(outcome.folder, "slow.pb.gz")).counted("samples_unlinked"), :>, 10
    end
  end

  def test_threads_that_move_between_native_threads_keep_their_spans
    skip "threads move since Ruby 3.3" if RUBY_VERSION < "3.3"
    assert_operator serve(self.class.environments["fiber_storage"].merge("RUBY_MN_THREADS" => "1"), moving: true).sum, :>, 500
  end

  FIBERS = <<~'RUBY'
    def in_a() = spin(0.1)
    def in_b() = spin(0.1)
    def in_c() = spin(0.1)
    def in_nothing() = spin(0.1)
    def in_attached() = spin(0.1)
    in_nothing
    span("in_a") do
      in_a
      fiber = Fiber.new do
        in_nothing
        span("in_b") { in_b; Fiber.yield; in_b; Fiber.yield }
        in_nothing
      end
      fiber.resume
      in_a
      span("in_c") { in_c; fiber.resume; in_c }
      in_a
      each = Enumerator.new { |y| in_nothing; y << 1; in_nothing; y << 2 }
      each.next
      in_a
      each.next
      fiber.resume
      Thread.new { in_nothing }.join
      [1].each { in_a }
      begin
        span("unseen") { raise "through" }
      rescue RuntimeError
        in_a
      end
      catch(:out) { span("unseen") { throw :out } }
      in_a
    end
    in_nothing
    attached = TRACER.start_span("attached")
    tell("in_attached", attached)
    token = OpenTelemetry::Context.attach(OpenTelemetry::Trace.context_with_span(attached))
    in_attached
    OpenTelemetry::Context.with_current(OpenTelemetry::Context::ROOT) { in_nothing }
    in_attached
    OpenTelemetry::Context.detach(token)
    in_nothing
    OpenTelemetry::Context.attach(OpenTelemetry::Trace.context_with_span(attached))
    OpenTelemetry::Context.clear
    in_nothing
  RUBY

  with_each_api("fibers_enumerators_and_threads_have_spans_of_their_own") do |environment|
    outcome = run_profiled(PREPARE + FIBERS, environment: environment, rate: 500)
    assert_clean outcome
    right = assert_linked(outcome.profile, told(outcome)) do |names|
      name = names.reverse.find { |n| n.start_with?("Object#in_") }&.delete_prefix("Object#")
      name == "in_nothing" ? nil : name || :any
    end
    # A second of in_nothing, and so on: every situation was met.
    { nil => 450, "in_a" => 350, "in_b" => 100, "in_c" => 100, "in_attached" => 100 }.each do |name, weight|
      assert_in_delta weight, right[name], weight * 0.2 + 10, name.inspect
    end
  end

  ORDER = <<~'RUBY'
    def in_main() = spin(0.3)
    def in_thread() = spin(0.3)
    def in_fiber() = spin(0.3)
    def in_later() = spin(0.2)
    fiber = Fiber.new { span("in_fiber") { Fiber.yield; in_fiber } }
    fiber.resume
    ready = Queue.new
    go = Queue.new
    thread = Thread.new { span("in_thread") { ready << 1; go.pop; in_thread } }
    ready.pop
    span("in_main") do
      require "cprof"
      Cprof.start(rate: 500, output: "late.pb.gz")
      in_main
      fiber.resume
      in_main
      go << 1
      thread.join
    end
    Cprof.stop
    Cprof.start(rate: 500, output: "again.pb.gz")
    span("in_later") { in_later }
  RUBY

  with_each_api("spans_are_found_that_began_before_the_profiler") do |environment|
    environment = environment.merge("RUBYOPT" => nil, "CPROF_OUTPUT" => nil, "CPROF_RATE" => nil)
    run_profiled(PREPARE + ORDER, environment: environment) do |outcome|
      assert_clean outcome
      late, again = %w[late again].map { |name| Pprof.read(File.join(outcome.folder, "#{name}.pb.gz")) }
      # The first sample of each thread asks what it is in the midst of.
      found = late.samples.group_by { |s| s.names.find { |n| n.start_with?("Object#in_") } }
      %w[in_main in_thread in_fiber].each do |name|
        samples = found.fetch("Object##{name}")
        linked = samples.select { |s| link_of(s) == told(outcome)[name] }
        assert_operator linked.sum(&:weight), :>=, samples.sum(&:weight) * 0.95, name
      end
      assert_linked(again, told(outcome)) { |names| names.include?("Object#in_later") ? "in_later" : :any }
    end
  end

  PROFILES = <<~'RUBY'
    def id_of(name, span) = puts("#{name}_id #{span.attributes&.fetch("profile.id", nil).inspect}")
    span("root") do |root|
      id_of("root", root)
      span("child") { |child| id_of("child", child) }
      Thread.new { OpenTelemetry::Trace.with_span(root) { } }.join
    end
    ids = { trace_id: Random.bytes(16), span_id: Random.bytes(8), remote: true,
            trace_flags: OpenTelemetry::Trace::TraceFlags::SAMPLED }
    remote = OpenTelemetry::Trace::Span.new(span_context: OpenTelemetry::Trace::SpanContext.new(**ids))
    OpenTelemetry::Trace.with_span(remote) { span("served") { |served| id_of("served", served) } }
    spin(0.1)
  RUBY

  with_each_api("root_spans_carry_the_id_of_their_profile_where_wanted") do |environment|
    wanted = environment.merge("CPROF_SPAN_PROFILE_ID" => "on", "CPROF_OUTPUT" => "out.otlp")
    run_profiled(PREPARE + PROFILES, environment: wanted) do |outcome|
      assert_clean outcome
      ids = outcome.output.scan(/^(\w+)_id (nil|"\h{32}")$/).to_h
      assert_equal "nil", ids["child"]
      assert_equal ids["root"], ids["served"]
      assert_includes File.binread(File.join(outcome.folder, "out.otlp")), [ids["root"].delete('"')].pack("H*")
    end
    outcome = run_profiled(PREPARE + PROFILES, environment: environment)
    assert_clean outcome
    assert_equal ["nil"], outcome.output.scan(/_id (\S+)$/).flatten.uniq
  end

  # Asks another process, at each of these points, what it reads of the main thread.
  SHARED = <<~'RUBY'
    READER = <<~PYTHON
      import sys, reader
      for line in sys.stdin:
          try:
              context = reader.thread_context(int(line))
              print(context and [context.trace_id, context.span_id, context.flags, context.attributes], flush=True)
          except reader.Unreadable:
              sys.exit(77)
    PYTHON
    OTHER = IO.popen([{ "PYTHONPATH" => ENV.fetch("READER") }, "python3", "-c", READER], "r+")
    def read(point)
      OTHER.puts Process.pid
      seen = OTHER.gets or exit 77
      puts "#{point}: #{seen}"
    end
    Cprof.flush # by then the context is published
    read("nothing")
    span("outer") do
      read("outer")
      Cprof.labels(a: "b") { Fiber.new { read("fiber") }.resume; read("labelled"); span("inner") { read("inner") } }
      read("outer")
    end
    read("nothing")
    Cprof.labels(a: "b") { read("label") }
    read("nothing")
  RUBY

  with_each_api("other_processes_read_the_same") do |environment|
    reader = [File.join(__dir__, "reader.py"), File.join(__dir__, "../core/context/reader.py")].find { |path| File.exist?(path) }
    skip "there is no python3" unless reader && ENV.fetch("PATH").split(":").any? { |folder| File.executable?(File.join(folder, "python3")) }
    outcome = run_profiled(PREPARE + SHARED, environment: environment.merge("READER" => File.dirname(reader)))
    skip "no process may read another here" if outcome.status.exitstatus == 77
    assert_clean outcome
    spans = told(outcome)
    seen = outcome.output.scan(/^(\w+): (.*)$/)
    expected = { "nothing" => "None", "fiber" => "None", "label" => "['#{"0" * 32}', '#{"0" * 16}', 0, {'a': 'b'}]" }
    expected["outer"] = "['#{spans["outer"].join("', '")}', 1, {}]"
    expected["labelled"] = "['#{spans["outer"].join("', '")}', 1, {'a': 'b'}]"
    expected["inner"] = "['#{spans["inner"].join("', '")}', 1, {'a': 'b'}]"
    assert_equal %w[nothing outer fiber labelled inner outer nothing label nothing], seen.map(&:first)
    seen.each { |point, context| assert_equal expected[point], context, point }
  end

  # Each is attached while `in_broken` runs, and must do no harm.
  BROKEN = <<~'RUBY'
    require "timeout"
    def in_broken() = spin(0.1)
    def in_foreign() = spin(0.1)
    def in_good() = spin(0.1)
    def attached(span) = OpenTelemetry::Context.with_current(OpenTelemetry::Trace.context_with_span(span)) { yield }
    Ids = OpenTelemetry::Trace::SpanContext
    class Foreign < BasicObject
      def initialize(&context) = @call = context
      def context = @call.call
    end
    class Duck
      attr_reader :trace_id, :span_id
      def initialize(*ids) = (@trace_id, @span_id = ids)
      def valid? = true
      def hex_trace_id = trace_id.unpack1("H*")
      def hex_span_id = span_id.unpack1("H*")
    end
    broken = {
      nothing: Object.new,
      throwing: Foreign.new { ::Kernel.raise ::Exception, "mine" },
      exiting: Foreign.new { ::Kernel.throw :nowhere },
      short: OpenTelemetry::Trace::Span.new(span_context: Ids.new(trace_id: "x", span_id: "y")),
      number: OpenTelemetry::Trace::Span.new(span_context: Ids.new(trace_id: 1, span_id: nil)),
      endless: Foreign.new { def self.deeper = deeper; deeper },
    }
    broken.each_value { |span| attached(span) { in_broken } }
    [nil, 1, "context", Object.new].each do |context|
      OpenTelemetry::Context.attach(context)
      in_broken
      OpenTelemetry::Context.clear
    end
    ids = Duck.new(Random.bytes(16), Random.bytes(8))
    foreign = Foreign.new { ids }
    puts "in_foreign #{ids.hex_trace_id} #{ids.hex_span_id}"
    attached(foreign) { in_foreign; Fiber.new { in_broken }.resume; in_foreign }
    span("in_good") { in_good }
    # What is meant for the application reaches it, though it strikes in the middle of ours.
    slow = Foreign.new { ::Kernel.sleep 0.3; ids }
    begin
      Timeout.timeout(0.1) { attached(slow) { 20.times { spin(0.01) } } }
      abort "the timeout was swallowed"
    rescue Timeout::Error
      OpenTelemetry::Context.clear
    end
  RUBY

  with_each_api("broken_and_foreign_spans_do_no_harm") do |environment|
    outcome = run_profiled(PREPARE + BROKEN, environment: environment, rate: 500)
    assert outcome.status.success?, outcome.errors
    # The real API tells of a detach() without its attach().
    assert_empty outcome.errors.lines.grep_v(/detach/)
    right = assert_linked(outcome.profile, told(outcome)) do |names|
      name = names.find { |n| n.start_with?("Object#in_") }&.delete_prefix("Object#")
      name == "in_broken" ? nil : name || :any
    end
    assert_operator right[nil], :>, 350
    # Those whose span could not be told, and only those: nil is no context at all.
    assert_in_delta right[nil] * 10 / 12.0, outcome.profile.counted("samples_unlinked"), right[nil] / 6.0
    assert_operator right["in_foreign"], :>, 60
    assert_operator right["in_good"], :>, 30
  end
end
