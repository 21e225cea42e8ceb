# frozen_string_literal: true

require_relative "helper"

# Who raises what, and how often: known counts.
class TestExceptions < CprofTest
  # No more than 2,000 samples a second are taken, and none is left out while there is room: in
  # between there is time, and what was taken is read.
  CALMLY = <<~RUBY
    def calmly(times, at_once = 50)
      times.times do |i|
        if (i % at_once).zero?
          Cprof.flush
          sleep 0.05
        end
        begin
          yield i
        rescue StandardError
          nil
        end
      end
    end
  RUBY

  # How many of each type were raised, by the innermost of these functions. Those of others are left out.
  def raised(program, *functions, types: "exception@1")
    @outcome = run_profiled(program, environment: { "CPROF_TYPES" => types }, prelude: PRELUDE + CALMLY)
    assert_clean @outcome
    @outcome.profile.samples.each_with_object(Hash.new(0)) do |sample, found|
      by = sample.names.map { |name| name.delete_prefix("Object#") }.find { |name| functions.include?(name) }
      found[[sample.labels["exception.type"], by]] += sample.values["exceptions"] if by
    end
  end

  def test_each_is_counted_by_type_and_function
    found = raised(<<~RUBY, "parse", "look_up", "own", "anonymous")
      module Shop
        class Empty < StandardError; end
      end
      def parse = Integer("no number")
      def look_up = {}.fetch(:nothing)
      def own = raise(Shop::Empty)
      def anonymous = raise(Class.new(IOError))
      calmly(250) { parse }
      calmly(750) { look_up }
      calmly(10) { own }
      calmly(10) { anonymous }
    RUBY
    assert_equal({ %w[ArgumentError parse] => 250, %w[KeyError look_up] => 750, %w[Shop::Empty own] => 10,
                   %w[IOError anonymous] => 10 }, found)
    leaves = @outcome.profile.samples.map { |sample| sample.stack.first.name }
    assert_empty leaves - %w[Kernel#Integer Hash#fetch Object#own Object#anonymous Object#parse Object#look_up], leaves.uniq
  end

  def test_one_in_ten_stands_for_ten
    found = raised(<<~RUBY, "fail_now", types: "exception@10")
      def fail_now = raise("x")
      calmly(3000, 500) { fail_now }
    RUBY
    # Of 3,000 some 300 are met, with a standard deviation of 16.4: seven of these.
    assert_in_delta 3000, found[%w[RuntimeError fail_now]], 7 * 164
    assert_equal 0, found[%w[RuntimeError fail_now]] % 10
  end

  def test_raised_again_or_passing_through_frames_is_once
    found = raised(<<~RUBY, "again", "named", "at_last", "elsewhere", "chained", "fail_now")
      Thread.report_on_exception = false
      def fail_now = raise("x")
      def deep(n = 10) = n.zero? ? fail_now : deep(n - 1)
      def again
        deep
      rescue StandardError
        raise
      end
      def named
        deep
      rescue StandardError => e
        raise e
      end
      def at_last
        deep
      ensure
        "".size
      end
      def elsewhere = Thread.new { deep }.join
      def chained
        deep
      rescue StandardError
        raise KeyError
      end
      %i[again named at_last elsewhere chained].each { |name| calmly(20) { send(name) } }
    RUBY
    assert_equal({ %w[RuntimeError fail_now] => 100, %w[KeyError chained] => 20 }, found)
  end

  def test_ends_of_loops_and_what_is_thrown_are_none
    found = raised(<<~RUBY, "ended", "thrown", "real")
      def ended
        each = [1].each
        loop { each.next }
      end
      def thrown = catch(:done) { throw :done }
      def real = raise(Errno::ENOENT)
      calmly(20) { ended }
      calmly(20) { thrown }
      calmly(20) { real }
    RUBY
    assert_equal({ %w[Errno::ENOENT real] => 20 }, found)
  end

  def test_threads_fibers_and_labels_are_theirs
    found = raised(<<~RUBY, "fail_now")
      def fail_now = raise("x")
      4.times do |i|
        Thread.new do
          Cprof.labels(shop: i) { Fiber.new { calmly(20) { fail_now } }.resume }
          Fiber.new { Cprof.labels(shop: i) { calmly(20) { fail_now } } }.resume
        end.join
      end
    RUBY
    assert_equal({ %w[RuntimeError fail_now] => 160 }, found)
    shops = @outcome.profile.samples.map { |sample| sample.labels["shop"] }.tally.keys
    assert_equal %w[0 1 2 3], shops.compact.sort
  end

  def test_only_while_it_runs_and_again_and_in_a_child
    found = raised(<<~RUBY, "first", "between", "again", "child")
      def first = raise("x")
      def between = raise("x")
      def again = raise("x")
      def child = raise("x")
      calmly(20) { first }
      Cprof.stop
      calmly(20) { between }
      Cprof.start(output: "second.pb.gz")
      calmly(20) { again }
      Process.wait(fork { calmly(20) { child } })
      calmly(20) { again }
      Cprof.stop
      File.rename("second.pb.gz", ENV.fetch("CPROF_OUTPUT"))
    RUBY
    assert_equal({ %w[RuntimeError again] => 40 }, found)
  end

  def test_a_tracepoint_beside_it_sees_what_it_saw_and_nothing_is_changed
    found = raised(<<~RUBY, "fail_now")
      def fail_now = raise("x")
      seen = 0
      trace = TracePoint.new(:raise) { seen += 1 }
      trace.enable { calmly(20) { fail_now } }
      raise "#{'#{seen}'} seen" unless seen == 20
      error = begin
        fail_now
      rescue StandardError => e
        raise "not that one" unless $!.equal?(e)
        e
      end
      raise "left over" unless $!.nil?
      raise "changed" unless Marshal.load(Marshal.dump(error)).message == "x" && error.instance_variables.empty?
      calmly(20) { raise error.freeze }
    RUBY
    assert_equal 21, found[%w[RuntimeError fail_now]]
  end
end
