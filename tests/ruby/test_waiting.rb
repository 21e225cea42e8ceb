# frozen_string_literal: true

require_relative "helper"

# Where time goes when nothing runs: threads that wait are seen with their Ruby stacks, their labels
# and the reason, and nobody is woken for it.
class TestWaiting < CprofTest
  WAITS = { "CPROF_TYPES" => "cpu,offcpu,wall" }.freeze

  def setup
    skip "looks are x86-64's so far" unless RbConfig::CONFIG["host_cpu"] == "x86_64"
  end

  def run_waiting(program)
    outcome = run_profiled(program, environment: WAITS)
    assert_clean outcome
    outcome.profile
  end

  # Seconds by reason, of the samples that the block picks.
  def waits(profile, column: "off_cpu")
    profile.samples.each_with_object(Hash.new(0.0)) do |sample, found|
      next unless sample.values.fetch(column).positive? && yield(sample)

      found[sample.labels["wait.reason"] || sample.labels["thread.state"]] += sample.values[column] / 1e9
    end
  end

  def test_a_thread_s_waits_have_their_stacks_and_add_up_to_its_life
    profile = run_waiting(<<~RUBY)
      NEVER, MUTEX = Thread::ConditionVariable.new, Thread::Mutex.new
      def sleeping = sleep(0.33)
      def locked = MUTEX.synchronize { NEVER.wait(MUTEX, 0.22) }
      def running = spin(0.11)
      def known
        till = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 4
        while Process.clock_gettime(Process::CLOCK_MONOTONIC) < till
          sleeping
          locked
          running
        end
      end
      thread = Thread.new { known }
      thread.name = "known"
      thread.join
    RUBY
    known = ->(sample) { sample.labels["thread.name"] == "known" }
    found = waits(profile, &known)
    # Its life is 4 s and the rest of a turn; what it ran is sampled.
    assert_includes 3.5..6.5, waits(profile, column: "wall", &known).values.sum, found
    # 1.5 but for chance: of some six turns, what follows a look goes to where the next one is.
    assert_includes 0.7..2.5, found["sleep"] / found["lock"], found
    { "Object#sleeping" => "sleep", "Object#locked" => "lock" }.each do |function, reason|
      seconds = waits(profile) { |s| known[s] && s.names.any? { |name| name.end_with?(function) } }
      assert_operator seconds[reason], :>, 0.9 * found[reason], "#{function}: #{seconds} of #{found}"
    end
    main = waits(profile) { |s| s.labels["thread.name"] == "main" }
    assert_operator main["lock"], :>, 2.5, main
    assert_equal 0, profile.counted("cprof.looks_refused")
  end

  def test_labels_of_a_waiting_thread
    profile = run_waiting(<<~RUBY)
      def wait = sleep(1)
      4.times.map { |i| Thread.new { Cprof.labels(request: i) { wait } } }.each(&:join)
    RUBY
    4.times do |number|
      seconds = waits(profile) { |s| s.labels["request"] == number.to_s }
      assert_includes 0.6..1.4, seconds["sleep"], seconds
    end
    bare = waits(profile) { |s| s.names.include?("Object#wait") && !s.labels.key?("request") }
    assert_operator bare["sleep"], :<, 0.05
  end

  def test_threads_that_have_slept_since_before_the_start_have_their_stacks
    profile = run_waiting(<<~RUBY)
      Cprof.stop
      def before = sleep(1.5)
      thread = Thread.new { before }
      sleep 0.3
      Cprof.start
      thread.join
    RUBY
    assert_operator waits(profile) { |s| s.names.include?("Object#before") }["sleep"], :>, 0.7
  end

  def test_a_slow_server_is_io_with_its_address
    outcome = run_profiled(<<~RUBY, environment: WAITS)
      require "socket"
      server = TCPServer.new("127.0.0.1", 0)
      serving = Thread.new { (client = server.accept).readpartial(100); sleep 1; client.write("done"); client.close }
      def fetch(port)
        socket = TCPSocket.new("127.0.0.1", port)
        socket.write("hello")
        socket.read
      end
      fetch(server.addr[1])
      serving.join
      puts server.addr[1]
    RUBY
    assert_clean outcome
    asked = waits(outcome.profile) { |s| s.names.include?("Object#fetch") }
    assert_includes 0.7..1.4, asked["io"], asked
    peer = "127.0.0.1:#{outcome.output.strip}"
    seen = waits(outcome.profile) { |s| s.labels["wait.peer"] == peer }
    assert_operator seen["io"], :>, 0.8 * asked["io"], "#{seen} of #{asked}"
  end

  def test_a_fight_for_the_gvl_is_told_as_one
    profile = run_waiting(<<~RUBY)
      def fight(till) = (nil while Process.clock_gettime(Process::CLOCK_MONOTONIC) < till)
      till = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 2
      %w[fighter-0 fighter-1 fighter-2].map { |name| Thread.new { fight(till) }.tap { |t| t.name = name } }.each(&:join)
    RUBY
    fighting = waits(profile) { |s| s.names.include?("Object#fight") }
    assert_operator fighting["gvl"], :>, 0.8, fighting
    assert_operator fighting["gvl"], :>, 0.8 * (fighting.values.sum - fighting["runnable"]), fighting
    return if RUBY_VERSION < "3.2"

    holders = profile.samples.filter_map { |s| s.labels["lock.holder"] if s.labels["wait.reason"] == "gvl" }
    assert_operator (holders & %w[fighter-0 fighter-1 fighter-2]).size, :>, 0, holders
  end

  def test_threads_and_fibers_that_come_and_go_are_looked_at_without_harm
    outcome = run_profiled(<<~RUBY, environment: { "CPROF_TYPES" => "wall@100hz" })
      def deep(n, &block) = n.zero? ? block.call : deep(n - 1, &block)
      till = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 1.5
      while Process.clock_gettime(Process::CLOCK_MONOTONIC) < till
        threads = [Thread.new { sleep 0.01 }, Thread.new { deep(200) { sleep 0.01 } },
                   Thread.new { Fiber.new { deep(20) { sleep 0.01 } }.resume }]
        pid = fork { sleep 0.02; exit! }
        GC.compact if GC.respond_to?(:compact) && rand < 0.1
        threads.each(&:join)
        Process.wait(pid)
      end
      puts "alive"
    RUBY
    assert_clean outcome
    assert_equal "alive", outcome.output.strip
    found = waits(outcome.profile, column: "wall") { true }
    assert_operator found["child"], :>, 0.05, found
  end
end
