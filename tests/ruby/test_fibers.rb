# frozen_string_literal: true

require "json"
require "tmpdir"

require_relative "helper"

# How many fibers there are, as /metrics tells.
class TestFibers < CprofTest
  PROGRAM = <<~'RUBY'
    require "socket"
    def told
      Cprof.flush # an interval is closed
      UNIXSocket.open(ENV.fetch("CPROF_LISTEN").delete_prefix("unix:")) do |socket|
        socket.write("GET /metrics HTTP/1.0\r\n\r\n")
        socket.read[/^cprof_fibers (\d+)$/, 1].to_i
      end
    end
    def begun = Array.new(1000) { Fiber.new { |n| Fiber.yield(n) }.tap { |fiber| fiber.resume(1) } }
    class Mine < Fiber; end
    5.times { GC.start } # what has ended before is none of them
    before = told
    fibers = begun
    with = told
    fibers.each { |fiber| fiber.resume(2) }
    raise "still alive" if fibers.any?(&:alive?)
    mine = Mine.new { 1 }
    mine.resume
    raise "no fiber" unless fibers.first.is_a?(Fiber) && Fiber.instance_method(:alive?).bind_call(mine) == false
    fibers = nil
    5.times { GC.start }
    GC.compact if GC.respond_to?(:compact) && RUBY_VERSION >= "3.2"
    puts [before, with, told].join(" ")
  RUBY

  def test_a_thousand_fibers_are_a_thousand_until_they_are_collected
    Dir.mktmpdir do |folder|
      outcome = run_profiled(PROGRAM, environment: { "CPROF_LISTEN" => "unix:#{folder}/s" })
      assert_clean outcome
      before, with, after = outcome.output.split.map(&:to_i)
      assert_equal 1000, with - before
      assert_operator after - before, :<, 50 # what the stack may still hold
    end
  end

  # A scheduler of the usual kind: what blocks goes through its hooks, and it runs what is due.
  SUSPENDED = <<~'RUBY'
    require "json"
    class Scheduler
      def initialize = @waiting = {}
      def kernel_sleep(duration = nil) = block(:sleep, duration)
      def block(_blocker, timeout = nil) = (@waiting[Fiber.current] = timeout; Fiber.yield)
      def io_wait(_io, events, _timeout) = (Fiber.yield; events)
      def unblock(_blocker, _fiber) = nil
      def close = nil
      def fiber(&block) = Fiber.new(blocking: false, &block).tap(&:resume)
      def fiber_interrupt(*) = nil
    end
    Fiber.set_scheduler(Scheduler.new)
    def napping = sleep(100)
    def nested(deep) = deep.zero? ? napping : nested(deep - 1)
    def queued(queue) = queue.pop
    def reading(io) = io.read(1)
    def plain = Fiber.yield(1)
    old = Fiber.new { plain }.tap(&:resume)
    Cprof.start(exporter: "none")
    queue, pipe = Queue.new, IO.pipe
    20.times { Fiber.schedule { nested(3) } }
    Fiber.schedule { queued(queue) }
    Fiber.schedule { reading(pipe[0]) }
    begun = Fiber.new { plain }.tap(&:resume)
    ended = Fiber.new { 1 }.tap(&:resume)
    never = Fiber.new { 1 }
    page = Fiber.new(blocking: true) { Cprof.dump(format: "json") }.resume
    own = begun.respond_to?(:backtrace) ? begun.backtrace.map { |line| line[/\d+/].to_i } : nil
    $stdout.write(JSON.generate([JSON.parse(page), own]))
    $stdout.flush
    exit!(0)
  RUBY

  def test_a_dump_has_the_fibers_that_are_suspended_with_their_stacks
    output, errors, = run_for(60, {}, *RUBY, "-rcprof", "-e", SUSPENDED)
    assert_equal "", errors
    page, own = JSON.parse(output)
    fibers = page["fibers"].map do |fiber|
      frames = page["stacks"][fiber["stack"]]["frames"]
      [fiber["state"], fiber["reason"], frames.map { |frame| frame["function"].sub("Object#", "") }, frames]
    end
    assert_includes [24, 25], fibers.size # the main one, if there is an object for it
    nested = fibers.select { |fiber| fiber[2].include?("nested") }
    assert_equal 20, nested.size
    assert_equal [["waiting", "sleep"]], nested.map { |fiber| fiber[0, 2] }.uniq
    assert_equal [4], nested.map { |fiber| fiber[2].count("nested") }.uniq
    assert_equal %w[waiting lock], fibers.find { |fiber| fiber[2].include?("queued") }[0, 2]
    assert_equal %w[waiting io], fibers.find { |fiber| fiber[2].include?("reading") }[0, 2]
    plain = fibers.select { |fiber| fiber[2].include?("plain") }
    assert_equal 2, plain.size # one of them is older than cprof's start
    lines = plain.map { |fiber| fiber[3].map { |frame| frame["line"] }.compact.reject(&:zero?) }
    assert_includes lines.map(&:last), own.last if own
  end
end
