# frozen_string_literal: true

require_relative "helper"

# Who waits for locks, for how long, and who let them go: by the program's own clock.
class TestLocks < CprofTest
  # A wait is measured by the program's own clock. What it tells beside that is how long the thread was
  # runnable and ran meanwhile, maybe between a look at the clock and the wait: as the kernel says.
  COMMON = <<~'RUBY'
    require "monitor"
    require "timeout"

    # Before 3.3 a native thread runs others when one has ended, and is known by the name of the last: all that
    # begin while somebody asks for the name of another are holders.
    MAIN = Thread.current
    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)
    def on_cpu = File.read("/proc/self/task/#{Process.pid}/schedstat").split.first(2).sum(&:to_i)

    def measured(name)
      busy, begun = on_cpu, now
      Cprof.labels(wait: name) { yield }
      spent = now - begun
      puts "#{name} #{spent} #{on_cpu - busy}"
    end

    # Some time after the main thread has begun to wait.
    def after(seconds, name, &let_go)
      Thread.new do
        Thread.pass until MAIN.status == "sleep"
        sleep seconds
        let_go.call
      end.tap { |thread| thread.name = name }
    end

    def held(lock, seconds, name, &body)
      taken = false
      thread = Thread.new do
        body ||= -> { Thread.pass until MAIN.status == "sleep"; sleep seconds }
        lock.synchronize { taken = true; body.call }
      end
      thread.name = name
      Thread.pass until taken
      thread
    end
  RUBY

  def run_locks(program, types: "lock@1us,blame@1us", **options)
    outcome = run_profiled(COMMON + program, environment: { "CPROF_TYPES" => types }, **options)
    assert_clean outcome
    outcome
  end

  # Samples of waits for locks other than the GVL.
  def waits(profile, type = "delay")
    profile.samples.select do |sample|
      sample.values.fetch(type).positive? && sample.labels["wait.reason"] != "gvl" && yield(sample)
    end
  end

  def in_function(name) = ->(sample) { sample.names.any? { |found| found.end_with?("##{name}") } }

  KINDS = <<~'RUBY'
    def locked(lock) = lock.lock
    def entered(lock) = lock.enter
    def thirty(lock) = lock.synchronize { nil }
    def seventy(lock) = lock.synchronize { nil }
    def popped(queue) = queue.pop
    def pushed(queue) = queue.push(2)
    def signalled(condition, lock) = lock.synchronize { condition.wait(lock) }
    def monitored(condition) = condition.wait
    def gave_up(condition, lock) = lock.synchronize { condition.wait(lock, 0.03) }
    def joined(thread) = thread.join
    def slept(lock) = lock.synchronize { lock.sleep(0.02) }
    def alone(lock)
      2000.times { lock.synchronize { nil } }
      2000.times { lock.try_enter && lock.exit } if lock.is_a?(Monitor)
      lock.synchronize { lock.synchronize { nil } } if lock.is_a?(Monitor)
      2000.times { lock.lock && lock.unlock } if lock.is_a?(Mutex)
    end
    def never(queue, sized)
      2000.times { queue << 1 }
      2000.times { queue.pop }
      2000.times { sized << sized.pop(true) }
      2000.times { queue.pop(true) rescue nil }
      2000.times { sized.push(1, true) rescue nil }
    end

    mutex, monitor = Class.new(Mutex).new, Monitor.new
    [mutex, monitor].each do |lock|
      3.times do |turn|
        { thirty: 0.03, seventy: 0.07 }.each do |name, seconds|
          thread = held(lock, seconds, "holder of #{name}")
          measured("#{name}-#{lock.class.name}#{turn}") { send(name, lock) }
          thread.join
        end
      end
      alone(lock)
    end
    thread = held(mutex, 0.04, "holder")
    measured("locked") { locked(mutex) }
    mutex.unlock
    thread.join
    thread = held(monitor, 0.04, "holder")
    measured("entered") { entered(monitor) }
    monitor.exit
    thread.join
    queue, sized = Queue.new, SizedQueue.new(1)
    thread = after(0.04, "holder") { queue << 1 }
    measured("popped") { popped(queue) }
    thread.join
    thread = after(0.04, "holder") { sized << 1 }
    measured("popped-sized") { popped(sized) }
    thread.join
    sized << 1
    thread = after(0.04, "holder") { sized.pop }
    measured("pushed") { pushed(sized) }
    thread.join
    never(queue, sized)
    condition = ConditionVariable.new
    thread = after(0.04, "holder") { mutex.synchronize { condition.signal } }
    measured("signalled") { signalled(condition, mutex) }
    thread.join
    of_monitor = monitor.new_cond
    thread = after(0.04, "holder") { monitor.synchronize { of_monitor.broadcast } }
    monitor.synchronize { measured("monitored") { monitored(of_monitor) } }
    thread.join
    measured("gave_up") { gave_up(condition, mutex) }
    measured("joined") { joined(after(0.02, "holder") { nil }) }
    measured("slept") { slept(mutex) }
  RUBY
  # What waits for no lock; what nobody ended.
  NONE, ALONE = %w[joined slept].freeze, %w[gave_up].freeze

  def test_waits_are_those_that_the_program_measured_and_count_once
    outcome = run_locks(KINDS)
    profile = outcome.profile
    sums = Hash.new(0)
    outcome.output.lines.map(&:split).each do |wait, spent, slack|
      name = wait[/\w+/]
      found = waits(profile) { |sample| sample.labels["wait"] == wait }
      next assert_empty(found, wait) if NONE.include?(name)

      delay = found.sum { |sample| sample.values["delay"] }
      assert_equal 1, found.sum { |sample| sample.values["contentions"] }, wait
      assert_includes (spent.to_i * 0.98 - slack.to_i)..spent.to_i, delay, wait
      assert found.all?(&in_function(name)), wait
      holder = ALONE.include?(name) ? nil : "holder"
      assert_equal [holder], found.map { |sample| sample.labels["lock.holder"]&.slice(0, 6) }.uniq, wait
      sums[name] += delay
    end
    # 30 : 70, but for how late they are let go.
    assert_in_delta 0.3, sums["thirty"].fdiv(sums["thirty"] + sums["seventy"]), 0.1, sums
    assert_empty waits(profile, &in_function("alone"))
    assert_empty waits(profile, &in_function("never"))
    sites = waits(profile, &in_function("thirty")).map { |sample| sample.labels["lock.site"] }.uniq
    assert_equal ["program.rb:#{(COMMON + KINDS).lines.index { |line| line.start_with?("def thirty") } + 1}"], sites
    assert_equal 2, waits(profile, &in_function("thirty")).map { |sample| sample.labels["lock.address"] }.uniq.size
  end

  def test_the_blame_is_on_the_stack_that_let_the_lock_go
    outcome = run_locks(<<~'RUBY')
      def woke(condition) = condition.broadcast
      def filled(queue) = queue.push(1)
      turn, lock = nil, nil
      def hold(lock, seconds)
        lock.synchronize do
          yield
          Thread.pass until MAIN.status == "sleep"
          sleep seconds
        end
      end
      holders = { short: 0.03, long: 0.07 }.map do |name, seconds|
        holder = Thread.new do
          until turn == :over
            turn == name ? Cprof.labels(hold: name) { hold(lock, seconds) { turn = :held } } : sleep(0.001)
          end
        end
        holder.tap { |thread| thread.name = name.to_s }
      end
      [Mutex.new, Monitor.new].each do |one|
        lock = one
        %i[short long long short].each do |name|
          turn = name
          Thread.pass until turn == :held
          lock.synchronize { nil }
        end
      end
      queue, mutex, condition = Queue.new, Mutex.new, ConditionVariable.new
      waiters = 3.times.map { Thread.new { queue.pop } } + 3.times.map { Thread.new { mutex.synchronize { condition.wait(mutex) } } }
      Thread.pass until waiters.all? { |thread| thread.status == "sleep" }
      sleep 0.05
      filled(queue)
      woke(condition)
      2.times { filled(queue) }
      turn = :over
      (waiters + holders).each(&:join)
    RUBY
    total = ->(samples, type) { samples.sum { |sample| sample.values[type] } }
    waited = waits(outcome.profile) { |sample| sample.labels["thread.name"] == "main" }
    holders = waited.group_by { |sample| sample.labels["lock.holder"] }
    assert_equal %w[long short], holders.keys.sort
    { "short" => 0.03e9, "long" => 0.07e9 }.each do |name, seconds|
      blame = waits(outcome.profile, "blame") { |sample| sample.labels["hold"] == name }
      assert_equal 4, total[blame, "blamed"], name
      assert blame.all?(&in_function("hold"))
      # From there to where the waiter goes on is in `delay` alone.
      assert_includes (4 * seconds)..total[holders[name], "delay"], total[blame, "blame"], name
    end
    # Each push wakes one, and says what all have waited by then, once.
    %w[filled woke].each do |name|
      assert_operator total[waits(outcome.profile, "blame", &in_function(name)), "blame"], :>, 0.15e9, name
    end
  end

  def test_fights_for_the_gvl_are_waits_for_one_more_lock
    skip "Ruby tells of them since 3.2" if RUBY_VERSION < "3.2"
    outcome = run_locks(<<~'RUBY', types: "lock")
      def fight(till) = (nil while now < till)
      begun = now
      %w[fighter-0 fighter-1 fighter-2].map { |name| Thread.new { fight(begun + 900_000_000) }.tap { |t| t.name = name } }.each(&:join)
      puts now - begun
    RUBY
    found = outcome.profile.samples.select { |sample| sample.labels["wait.reason"] == "gvl" && in_function("fight")[sample] }
    delay = found.sum { |sample| sample.values["delay"] }
    # Two of three wait while the third runs; the first turns are those of threads that begin.
    assert_includes 1.1..2.05, delay / Float(outcome.output), found.map(&:labels)
    held, unknown = found.partition { |sample| sample.labels["lock.holder"]&.start_with?("fighter-") }
    assert_operator held.sum { |sample| sample.values["delay"] }, :>=, 0.95 * delay, unknown.map(&:labels)
    assert found.none? { |sample| sample.labels.key?("lock.address") || sample.labels.key?("lock.site") }
    assert found.all? { |sample| sample.labels["lock.holder"] != sample.labels["thread.name"] }
  end

  # One thread is always about to be ready, and another one keeps the GVL for 30 and 70 ms in turn: it is given away where it
  # begins to sleep.
  def test_who_keeps_the_gvl_is_to_blame
    skip "Ruby tells of them since 3.2" if RUBY_VERSION < "3.2"
    outcome = run_locks(<<~'RUBY', types: "lock,blame")
      def keep(nanoseconds)
        till = now + nanoseconds
        nil while now < till
        sleep(0.001)
      end
      def short = keep(30_000_000)
      def long = keep(70_000_000)
      def waits(done) = (sleep(0.0001) while done.empty?)
      done = []
      waiter = Thread.new { waits(done) }
      waiter.name = "waiter"
      begun = now
      8.times { short; long }
      puts now - begun
      done << 1
      waiter.join
    RUBY
    of = ->(name, type) do
      outcome.profile.samples.select { |sample| sample.labels["wait.reason"] == "gvl" && in_function(name)[sample] }.sum { |sample| sample.values[type] }
    end
    blame = %w[short long].to_h { |name| [name, of.(name, "blame")] }
    # The waiter may need a processor before it is ready, and never waits for longer than the GVL was kept.
    assert_includes 0.3..1.0, blame.values.sum / Float(outcome.output), blame
    assert_includes 1.4..3.6, blame["long"] / Float(blame["short"]), blame
    all = outcome.profile.samples.select { |sample| sample.labels["wait.reason"] == "gvl" }.sum { |sample| sample.values["blame"] }
    assert_operator blame.values.sum, :>=, 0.95 * all, blame
    assert_includes 0.9..1.2, of.("waits", "delay") / Float(blame.values.sum), blame
    refute(outcome.profile.samples.any? { |sample| sample.values["blame"].positive? && sample.labels.key?("thread.state") })
  end

  # What ends waits, or keeps them from beginning.
  HOSTILE = <<~'RUBY'
    def check(what, right = true) = right || puts("wrong: #{what}")
    def raises(type, text, what)
      yield
      check(what, false)
    rescue type => error
      check("#{what}: #{error.message}", error.message.include?(text))
    end
    def waiting(&body) = Thread.new(&body).tap { |thread| Thread.pass until thread.status == "sleep" || !thread.alive? }
    def returns(lock) = lock.synchronize { return 45 }

    mutex, monitor, queue, sized = Mutex.new, Monitor.new, Queue.new, SizedQueue.new(1)
    raises(ThreadError, "deadlock", "locked twice") { mutex.synchronize { mutex.lock } }
    raises(ThreadError, "block", "no block") { mutex.synchronize }
    raises(LocalJumpError, "block", "no block") { monitor.synchronize }
    raises(ThreadError, "not locked", "unlocked") { mutex.unlock }
    raises(ThreadError, "not owner", "not entered") { monitor.exit }
    raises(ThreadError, "empty", "an empty queue") { queue.pop(true) }
    raises(ArgumentError, "wrong number", "arguments") { queue.pop(1, 2, 3) }
    raises(TypeError, "not initialized", "a queue without anything") { Queue.allocate.pop }
    raises(TypeError, "not initialized", "a queue without anything") { SizedQueue.allocate.push(1) }
    check("value", mutex.synchronize { 42 } == 42)
    check("break", mutex.synchronize { break 43 } == 43 && !mutex.locked?)
    check("throw", catch(:away) { monitor.synchronize { throw :away, 44 } } == 44 && !monitor.mon_locked?)
    check("return", returns(mutex) == 45 && !mutex.locked?)
    check("no arguments", [mutex, monitor].all? { |lock| lock.synchronize { |*given| given } == [] })
    if RUBY_VERSION >= "3.2"
      check("timeout", queue.pop(timeout: 0.01).nil? && queue.pop(timeout: 0).nil? && sized.push(1) && sized.push(1, timeout: 0.01).nil?)
      raises(ArgumentError, "timeout", "both") { queue.pop(true, timeout: 1) }
    end

    mutex.lock
    waiting { mutex.lock; check("killed", false) }.tap(&:kill).join
    waiting { raises(RuntimeError, "away", "raised") { mutex.synchronize { nil } } }.tap { |thread| thread.raise("away") }.join
    [proc { mutex.lock }, proc { queue.pop }, proc { Monitor.new.then { |it| it.synchronize { it.new_cond.wait } } }].each do |wait|
      raises(Timeout::Error, "", "Timeout") { Thread.new { Timeout.timeout(0.01, &wait) }.tap { |t| t.report_on_exception = false }.value }
    end
    # A child: nobody waits there.
    waiter = waiting { mutex.synchronize { :got } }
    child = fork do
      mutex.unlock
      inner = Mutex.new.tap(&:lock)
      waiter = waiting { inner.synchronize { :got } }
      inner.unlock
      exit!(mutex.synchronize { waiter.value } == :got)
    end
    check("child", Process.wait2(child)[1].success?)
    mutex.unlock
    check("after a fork", waiter.value == :got)

    [mutex, monitor].each do |lock| # one that dies with it
      enter, exit = lock.is_a?(Mutex) ? %i[lock unlock] : %i[enter exit]
      dies = Thread.new { lock.send(enter); Thread.pass until MAIN.status == "sleep" }
      Thread.pass until lock.is_a?(Mutex) ? lock.locked? : lock.mon_locked? || !dies.alive?
      lock.send(enter)
      lock.send(exit)
      dies.join
    end
    mutex.lock
    waiter = waiting { mutex.synchronize { :got } }
    mutex.sleep(0.02)
    check("Mutex#sleep", mutex.owned? && waiter.value == :got)
    mutex.unlock
    waiter = waiting { queue.pop }
    GC.start
    GC.compact if GC.respond_to?(:compact)
    queue << 5
    check("compacted", waiter.value == 5)
    waiter = waiting { queue.pop }
    queue.close
    check("closed", waiter.value.nil? && queue.pop.nil?)
    trap(:USR1) { mutex.lock rescue $trapped = $!.message }
    Process.kill(:USR1, Process.pid)
    Thread.pass until $trapped
    check($trapped, $trapped.include?("trap"))

    # Its own locks and GVL.
    def other = Ractor.new { l = Mutex.new.tap(&:lock); q = Queue.new; t = Thread.new { q << 1; l.synchronize { 7 } }; q.pop; l.unlock; t.value }
    ractor = other
    check("Ractor", (ractor.respond_to?(:value) ? ractor.value : ractor.take) == 7)

    [[], [Module.new { def lock = super }]].each do |modules| # again, and with a module before it
      Cprof.stop
      mutex.synchronize { nil }
      modules.each { |it| Mutex.prepend(it) }
      Cprof.start(types: %w[lock blame], output: ENV["CPROF_OUTPUT"])
      thread = held(mutex, 0.01, "holder")
      mutex.lock
      mutex.unlock
      thread.join
    end
    Cprof.stop
    Cprof.start(types: ["cpu"], output: "other.pb.gz")
    check("out", mutex.synchronize { queue.empty? })
  RUBY

  def test_nothing_is_different_for_the_program
    outcome = run_profiled(COMMON + HOSTILE, environment: { "CPROF_TYPES" => "lock@1us,blame@1us", "RUBYOPT" => "-W:no-experimental -rcprof/auto",
                                                            "CPROF_ENABLED" => "1" })
    assert_clean outcome
    assert_equal "", outcome.output
  end

  # One that switches fibers where they would wait.
  def test_fibers_wait_for_locks_as_threads_do
    outcome = run_locks(<<~'RUBY')
      class Scheduler
        def initialize = (@ready, @sleeping, @blocked = [], {}, 0)
        def close = run
        def run
          until @ready.empty? && @sleeping.empty? && @blocked.zero?
            fiber, = @sleeping.min_by { |_, till| till }
            if @ready.empty? && fiber
              pause = (@sleeping.delete(fiber) - now) / 1e9
              IO.select(nil, nil, nil, pause) if pause.positive?
              @ready << fiber
            end
            @ready.shift&.resume
          end
        end
        def block(_, timeout = nil) = (@blocked += 1; Fiber.yield; @blocked -= 1; true)
        def unblock(_, fiber) = @ready << fiber
        def kernel_sleep(seconds = nil) = (@sleeping[Fiber.current] = now + seconds * 1_000_000_000; Fiber.yield)
        def io_wait(io, events, timeout) = events
        def fiber(&block) = Fiber.new(blocking: false, &block).tap(&:resume)
      end
      def contended(lock) = lock.synchronize { nil }
      Thread.new do
        Fiber.set_scheduler(Scheduler.new)
        [Mutex.new, Monitor.new].each do |lock|
          Fiber.schedule { lock.synchronize { sleep 0.05 } }
          2.times { Fiber.schedule { contended(lock) } }
        end
      end.join
      puts "done"
    RUBY
    assert_equal "done", outcome.output.strip
    found = waits(outcome.profile, &in_function("contended"))
    # A Monitor belongs to a thread before 3.3: fibers of one don't wait for each other.
    assert_includes [2, 4], found.sum { |sample| sample.values["contentions"] }
    assert found.all? { |sample| sample.values["delay"] > 0.045e9 * sample.values["contentions"] }, found.map(&:values)
  end

  def test_a_storm_of_waits_kills_and_forks
    seconds = ENV["CPROF_TEST_LONG"] ? 60 : 0.5
    outcome = run_locks(<<~RUBY, types: "lock,blame,cpu", timeout: seconds + 120)
      locks = [Mutex.new, Monitor.new]
      queue, sized, condition = Queue.new, SizedQueue.new(2), ConditionVariable.new
      till = Process.clock_gettime(Process::CLOCK_MONOTONIC) + #{seconds}
      over = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) > till }
      threads = 4.times.map { |i| Thread.new { locks[i % 2].synchronize { rand < 0.1 ? sleep(0.001) : spin(0.0002) } until over.call } }
      threads << Thread.new { (queue << 1; sized << 1) until over.call; queue.close; sized.close }
      threads << Thread.new { nil while queue.pop && sized.pop } # till they are closed: or who pushes may wait for ever
      threads << Thread.new { locks[0].synchronize { condition.wait(locks[0], 0.002) } until over.call }
      until over.call
        victim = Thread.new { locks.sample.synchronize { Queue.new.pop } }
        sleep 0.002
        victim.kill
        begin
          Timeout.timeout(0.002) { Queue.new.pop }
        rescue Timeout::Error
        end
        condition.broadcast
        GC.compact if rand < 0.01 && GC.respond_to?(:compact)
        Process.wait(fork { locks << Mutex.new; locks.last.synchronize { spin(0.0001) }; exit! }) if rand < 0.05
        victim.join
      end
      threads.each { |thread| thread.join(10) or puts "stuck: \#{thread.backtrace}" }
    RUBY
    assert_equal "", outcome.output
    assert_operator waits(outcome.profile) { true }.sum { |sample| sample.values["delay"] }, :>, 0.1e9 * seconds
    assert_operator waits(outcome.profile, "blame") { true }.size, :>, 0
  end
end
