# frozen_string_literal: true

require_relative "helper"

class TestStress < CprofTest
  SECONDS = Integer(ENV.fetch("CPROF_STRESS_SECONDS", "60"))

  # Builds a library of this folder, to be preloaded.
  def library(name, folder)
    library = File.join(folder, "#{name}.so")
    out, errors, status = run_for(60, {}, "cc", "-shared", "-fPIC", "-O1", "-o", library,
                                  File.join(__dir__, "#{name}.c"))
    assert status.success?, out + errors
    library
  end

  # Yields an environment where timers fire 2,000 times a second of real time, or as FAST_TIMER_NS
  # says; with other libraries besides.
  def with_fast_timer(*others)
    Dir.mktmpdir do |folder|
      yield({ "LD_PRELOAD" => ["fast_timer", *others].map { |name| library(name, folder) }.join(" ") })
    end
  end

  def test_collections_compaction_and_churn_are_survived
    more = { "SECONDS" => SECONDS.to_s, "OTEL_LIBRARY" => File.join(__dir__, "otel_double.rb") }
    outcome = with_fast_timer { |fast| run_profiled(<<~'RUBY', rate: 1000, environment: fast.merge(more), timeout: SECONDS * 3 + 60) }
      require "json"
      require "timeout"
      require ENV.fetch("OTEL_LIBRARY")
      tracer = OpenTelemetry.tracer_provider.tracer("stress")
      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      finish = now + Float(ENV["SECONDS"])
      errors = Queue.new
      lock, queue = Mutex.new, Queue.new
      works = {
        compiling: -> { 20.times { |i| Class.new { class_eval("def m#{i}(x) = [x].map { |y| y + #{i} }.sum"); new.send("m#{i}", 1) } } },
        throwing: -> { 200.times { begin; [1].each { raise ArgumentError }; rescue ArgumentError => e; e.backtrace; end; catch(:x) { [1].each { throw :x } } } },
        fibers: -> { 50.times { f = Fiber.new { |x| 3.times { x = Fiber.yield(x.to_s) } ; Integer("1") }; 3.times { f.resume(1) } }; e = [1, 2, 3].each; 3.times { e.next } },
        threads: -> { 5.times.map { Thread.new { Thread.current.name = "t"; [3, 1].sort_by { |x| x }; raise "end" if rand < 0.1 } }.each { |t| t.report_on_exception = false; t.join rescue nil } },
        procs: -> { 200.times { |i| add = proc { |x| x + i }; b = binding; b.local_variable_set(:q, add); (add >> add).call(1) } },
        text: -> { JSON.parse(JSON.generate((1..50).map { |i| { i.to_s => "a" * i } })); "abc" * 10 =~ /b(c)/; $1.gsub(/c/) { $~[0].upcase } },
        spans: -> { 50.times { |i| tracer.in_span("a") { Cprof.labels(i: i, j: "x" * i) { Fiber.new { tracer.in_span("b") { Fiber.yield } }.tap(&:resume); [1].each { tracer.in_span("c") { GC.start if i == 0 } } } } } },
        timeouts: -> { 5.times { Timeout.timeout(0.001) { sleep 1 } rescue nil } },
        sleeps: -> { sleep 0.002; IO.pipe.each(&:close) },
        forks: -> { Process.wait(fork { [3, 1].sort_by { |x| x.to_s }; exit! }) if rand < 0.05 },
        locks: -> { 20.times { lock.synchronize { [2, 1].sort } }; queue << 1; queue.pop },
        dumps: -> { JSON.parse(Cprof.dump(format: "json")) if rand < 0.2 },
        compact: -> { GC.compact if GC.respond_to?(:compact) },
        verify: -> { GC.start },
        stressed: -> { GC.stress = true; [1].map { |x| "#{x}" }; GC.stress = false },
      }
      compact_always
      Thread.report_on_exception = false
      workers = 4.times.map do |n|
        Thread.new do
          random = Random.new(n)
          works.values.sample(random: random).call while now < finish
        rescue Exception => e
          errors << e
        end
      end
      workers.each(&:join)
      p errors.pop unless errors.empty?
      puts Cprof.stats.slice(:samples, :samples_dropped, :samples_failed, :samples_truncated).values.join(" ")
    RUBY
    puts outcome.output
    assert outcome.status.success?, "#{outcome.status}: #{outcome.errors}#{outcome.output}"
    # Two thousand samples a second of a thread that is in one collection after the other can fill
    # its buffer before their names are there; that is told and counted.
    # So is the end of the room for stacks, ten minutes of ever new code later.
    assert_empty outcome.errors.lines.grep_v(/samples were dropped|CPROF_MEMORY_LIMIT/)
    samples, dropped, failed, truncated = outcome.output.split.map(&:to_i)
    assert_operator samples, :>, SECONDS * 100
    assert_operator dropped, :<, samples / 10, "of #{samples} samples dropped"
    assert_operator failed, :<, samples / 20, "of #{samples} samples with a frame without a name"
    assert_operator truncated, :<, samples / 50, "of #{samples} samples without their root"
  end

  # Runs the body again and again, under 2,000 signals a second: fibers get the memory of what it has
  # ended.
  def assert_the_ended_is_left_alone(body)
    more = { "RUBYOPT" => "-W0 -rcprof/auto", "BODY" => body }
    outcome = with_fast_timer { |fast| run_profiled(<<~'RUBY', rate: 1000, environment: fast.merge(more)) }
      Thread.report_on_exception = false
      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      def deep(n, &block) = n.zero? ? block.call : [n].each { deep(n - 1, &block) }
      eval("def end_some\n#{ENV["BODY"]}\nend")
      finish = now + 6
      while now < finish
        end_some
        GC.start
        fibers = 60.times.map { Fiber.new { loop { deep(10) { [3, 1].sort_by { |x| x.to_s } }; Fiber.yield } } }
        20.times { fibers.each(&:resume) }
      end
      puts Cprof.stats[:samples]
    RUBY
    assert outcome.status.success?, "#{outcome.status}: #{outcome.errors}"
    assert_operator outcome.output.to_i, :>, 1000
  end

  # Before 3.3 nobody tells of their end, and their native threads wait for others with timers that fire.
  def test_threads_that_exceptions_have_ended_are_looked_at_no_more
    assert_the_ended_is_left_alone(<<~'RUBY')
      30.times.map { Thread.new { sleep 0.001; raise "end" } }.each { |t| t.join rescue nil }
    RUBY
  end

  # The JIT of 3.1 shows them for some instructions with the environment of whatever ran there before, by
  # now among the arguments: the number here would be the address of another.
  def test_frames_that_are_half_written_are_not_looked_into
    more = { "FAST_TIMER_NS" => "100000" }
    outcome = with_fast_timer { |fast| run_profiled(<<~'RUBY', rate: 1000, environment: fast.merge(more)) }
      def short(x) = x
      8.times { |n| eval "def long#{n}(x, y, z) = x" }
      eval "def pairs() = (#{(0...8).map { |n| "short(1); long#{n}(1, 2, 10_000)" }.join("; ")})"
      def work = 100.times { pairs }
      work while cpu < 4
      puts Cprof.stats[:samples]
    RUBY
    assert outcome.status.success?, "#{outcome.status}: #{outcome.errors}"
    assert_operator outcome.output.to_i, :>, 5000
  end

  # Before 3.3 nobody tells of any end there.
  def test_threads_of_ractors_that_have_ended_are_looked_at_no_more
    skip "from 3.3 on Ractors that come and go like this hang, sampled or not" if RUBY_VERSION.to_f >= 3.3
    assert_the_ended_is_left_alone(<<~'RUBY')
      8.times.map { Ractor.new { Thread.new { [1].map { |x| x.to_s } }.join; raise "end" if rand < 0.5 } }
       .each { |ractor| ractor.take rescue nil }
    RUBY
  end

  # Handlers of threads that wait for the others to run must leave it to those.
  def test_one_thread_at_a_time_asks_for_names
    skip "from 3.3 on any thread may ask" if RUBY_VERSION.to_f >= 3.3
    more = { "FAST_TIMER_NS" => "100000" }
    outcome = with_fast_timer("asked_at_once") { |fast| run_profiled(<<~'RUBY', rate: 1000, environment: fast.merge(more)) }
      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      finish = now + 4
      4.times.map do
        Thread.new do
          Class.new { class_eval("def m(x) = [x].map { |y| y }"); new.m(1) } while now < finish
        end
      end.each(&:join)
    RUBY
    assert outcome.status.success?, "#{outcome.status}: #{outcome.errors}"
    asked, at_once = outcome.errors.match(/asked (\d+) times, (\d+) at once/).captures.map(&:to_i)
    assert_operator asked, :>, 100
    assert_operator at_once, :<=, asked / 10, "of #{asked}"
  end

  def test_ractors_run_beside_threads_and_collections
    outcome = run_profiled(<<~'RUBY', rate: 1000, environment: { "RUBYOPT" => "-W0 -rcprof/auto" })
      def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
      ractors = 3.times.map do |n|
        Ractor.new(n) do |n|
          def text(count) = (1..count).map { |i| "a#{i}".gsub(/a/) { |x| x.upcase } }
          finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 4
          text(300) while Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish
          n
        end
      end
      finish = now + 4
      while now < finish
        Thread.new { [3, 1].sort_by { |x| x.to_s } }.join
        passing = Ractor.new { Thread.new { [1].map { |x| x.to_s } }.join; 1 }
        passing.respond_to?(:value) ? passing.value : passing.take
        GC.start
      end
      p ractors.map { |ractor| ractor.respond_to?(:value) ? ractor.value : ractor.take }
    RUBY
    assert_clean outcome
    assert_equal "[0, 1, 2]\n", outcome.output
    inside = outcome.profile.share { |s| s.names.include?("String#gsub") }
    if RUBY_VERSION.to_f < 3.3 # nobody tells of their threads
      assert_equal 0, inside
    else
      assert_operator inside, :>, 0.05
    end
  end
end
