# frozen_string_literal: true

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
end
