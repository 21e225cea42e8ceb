# frozen_string_literal: true

# What being profiled costs a Ruby program. Figures, no verdicts; they need a quiet machine.
#
#   ruby tests/ruby/bench.rb [SECONDS]    (with `require "cprof"` finding the gem)
#
# Spans are those of the opentelemetry-api gem where it is installed, else of the tests' double.

require "etc"
require "open3"
require "rbconfig"
require "tmpdir"

PRELUDE = <<~'RUBY'
  def cpu(of = Process::CLOCK_PROCESS_CPUTIME_ID) = Process.clock_gettime(of)
  # Nanoseconds of this thread's CPU time for each of `count` calls: the best of seven rounds.
  def cost(count)
    7.times.map do
      before = cpu(Process::CLOCK_THREAD_CPUTIME_ID)
      yield count
      (cpu(Process::CLOCK_THREAD_CPUTIME_ID) - before) * 1e9 / count
    end.min
  end
  # How many signals there have been: those that came together count as one.
  def signals = Cprof.flush && Cprof.stats.then { |stats| stats[:samples] + stats[:samples_dropped] - stats[:timer_overruns] }
RUBY

# What signals take of a busy program, by pairs: the same work twice within some milliseconds, once with
# the signal blocked, in random order. Whole runs differ by 10 % and more on a shared machine; what a pair meets is
# nearly the same. At 1,000 Hz, of which the kernel's ticks leave fewer: the signals that came say what one took.
PAIRS = <<~'RUBY'
  require "fiddle"
  require "json"
  SECONDS = Float(ENV.fetch("SECONDS"))
  def work
    rows = (1..200).map { |i| { "id" => i, "name" => "abba#{i}" } }
    JSON.parse(JSON.generate(rows)).sort_by { |r| -r["id"] }.map { |r| r["name"].gsub(/b/) { |x| x.upcase } }
  end
  MASK = Fiddle::Function.new(Fiddle.dlopen(nil)["pthread_sigmask"], [Fiddle::TYPE_INT, Fiddle::TYPE_VOIDP, Fiddle::TYPE_VOIDP], Fiddle::TYPE_INT)
  SIG_BLOCK, SIG_UNBLOCK = 0, 1
  TICK = 0.004 # seconds between two looks of the kernel at such timers; some are shorter, few longer
  def cpu_of_work(set, blocked)
    MASK.call(blocked ? SIG_BLOCK : SIG_UNBLOCK, set, nil)
    before = cpu(Process::CLOCK_THREAD_CPUTIME_ID)
    $times.times { work }
    cpu(Process::CLOCK_THREAD_CPUTIME_ID) - before
  end
  # Pairs of CPU times, [with, without] the signal.
  def pairs(set, seconds)
    finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    met = []
    while Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish
      taken = [false, true].shuffle.to_h { |blocked| [blocked, cpu_of_work(set, blocked)] }
      met << taken.values_at(false, true)
    end
    MASK.call(SIG_UNBLOCK, set, nil)
    met
  end
  # The block says how many signals have come.
  def print_pairs(what, number)
    # Each half is longer than a tick, so that a signal waits for the end of every one without.
    $times = (3 * TICK * 1e9 / cost(50) { |n| n.times { work } }).ceil
    set = [1 << (number - 1)].pack("Q") + "\0" * 120
    pairs(set, 3)
    before = yield
    met = pairs(set, SECONDS)
    # What waited for the end of a half without signals came before the clock was read.
    frequency = (yield - before - met.size) / met.sum(&:first)
    extra = met.map { |on, off| (on - off) / off }.sort
    extra = extra[extra.size / 10...-extra.size / 10] # the tails are other programs'
    mean = extra.sum / extra.size
    deviation = Math.sqrt(extra.sum { |e| (e - mean)**2 } / extra.size)
    puts format("%s: %+.3f %% at 100 Hz, standard error %.3f: %.1f µs a signal (%d pairs with %d signals a second of CPU)",
                what, mean / frequency * 1e4, deviation / Math.sqrt(extra.size) / frequency * 1e4, mean / frequency * 1e6, met.size, frequency)
  end
RUBY

# Of that, what is not cprof's: the same with a handler that does nothing.
EMPTY = PAIRS + <<~'RUBY'
  library = Fiddle.dlopen(ENV.fetch("EMPTY_HANDLER"))
  start = Fiddle::Function.new(library["empty_handler_start"], [Fiddle::TYPE_INT, Fiddle::TYPE_LONG], Fiddle::TYPE_INT)
  count = Fiddle::Function.new(library["empty_handler_signals"], [], Fiddle::TYPE_LONG)
  number = 40 # a real-time signal that Ruby leaves alone
  abort "no timer" unless start.call(number, 1_000_000).zero?
  print_pairs("in a thread with an empty handler", number) { count.call }
RUBY

SAMPLED = PAIRS + <<~'RUBY'
  require "cprof"
  Cprof.start(rate: 1000, exporter: "none")
  sleep 0.3
  number = Integer(File.read("/proc/self/timers")[/signal: (\d+)\/\S+\nnotify: signal\/tid\.#{Process.pid}\n/, 1])
  print_pairs("in the sampled thread", number) { signals }
  puts format("  handler mean %d ns", Cprof.stats[:handler_ns_mean])
RUBY

# In cprof's own threads: at first, with the names of all that is met for the first time, and then.
OWN = PAIRS + <<~'RUBY'
  require "cprof"
  WARM_UP = 10
  # CPU seconds of the process, and of cprof's own threads.
  def work_for(seconds)
    before = [cpu, Cprof.stats[:collector_cpu_ns]]
    finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
    work while Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish
    [cpu - before[0], (Cprof.stats[:collector_cpu_ns] - before[1]) / 1e9]
  end
  Cprof.start(rate: 100, exporter: "none")
  first = work_for(WARM_UP).last
  all, own = work_for(SECONDS)
  puts format("in cprof's own threads: %.3f %% at 100 Hz, after %.0f ms in the first %d s", own / all * 100, first * 1e3, WARM_UP)
RUBY

# The handler at about 20 Ruby and 20 native frames, by its own clock, which begins where an empty
# handler would end: the best of ten windows, since on a busy machine it is interrupted as well.
DEEP = <<~'RUBY'
  require "fiddle"
  require "cprof"
  BACKTRACE = Fiddle::Function.new(Fiddle.dlopen(nil)["backtrace"], [Fiddle::TYPE_VOIDP, Fiddle::TYPE_INT], Fiddle::TYPE_INT)
  def native_frames = BACKTRACE.call(Fiddle::Pointer.malloc(8 * 500, Fiddle::RUBY_FREE), 500)
  def spin(seconds)
    till = cpu + seconds
    i = 0
    i += 1 while i % 1000 != 0 || cpu < till
  end
  def in_c(levels, &leaf) = levels.zero? ? leaf.call : [1].each { in_c(levels - 1, &leaf) }
  def deep(levels, &leaf) = levels.zero? ? in_c(2, &leaf) : deep(levels - 1, &leaf)
  deep(8) { spin(0.2); $frames = [caller.size + 1, native_frames] }
  Cprof.start(rate: 1000, exporter: "none")
  deep(8) { spin(1) } # everything has its name
  # What a handler does that finds its buffer full is not what is to be measured: such windows do not count.
  windows = 10.times.filter_map do
    before, dropped, mean = signals, *Cprof.stats.values_at(:samples_dropped, :handler_ns_mean)
    deep(8) { spin(0.5) }
    after, now_dropped, now_mean = signals, *Cprof.stats.values_at(:samples_dropped, :handler_ns_mean)
    (now_mean * after - mean * before).fdiv(after - before) if now_dropped == dropped
  end
  abort "every window had more signals than the collector had time for" if windows.empty?
  print [*$frames, windows.min, windows.sort[windows.size / 2], windows.size].join(" ")
RUBY

# What context keeping adds, in one process: before the profiler is started, and with it.
CONTEXT = <<~'RUBY'
  require "cprof"
  begin
    require "opentelemetry-sdk"
    OpenTelemetry::SDK.configure
  rescue LoadError
    require ENV.fetch("OTEL_LIBRARY")
  end
  TRACER = OpenTelemetry.tracer_provider.tracer("bench")
  CONTEXT = OpenTelemetry::Trace.context_with_span(TRACER.start_span("a"))
  C = OpenTelemetry::Context
  OTHER = Fiber.new { C.attach(CONTEXT); loop { Fiber.yield } }
  PLAIN = Fiber.new { loop { Fiber.yield } }
  def measure
    { "attach and detach" => cost(100_000) { |n| n.times { C.detach(C.attach(CONTEXT)) } },
      "in_span" => cost(20_000) { |n| n.times { TRACER.in_span("b") { } } },
      "two switches of fibers, one in a span" => cost(100_000) { |n| n.times { OTHER.resume } },
      "two switches of fibers without" => cost(100_000) { |n| n.times { PLAIN.resume } },
      "labels" => cost(20_000) { |n| n.times { Cprof.labels(a: 1) { } } },
      "labels, new each time" => cost(20_000) { |n| n.times { |i| Cprof.labels(a: i) { } } } }
  end
  without = measure
  Cprof.start(rate: 100, exporter: "none")
  measure.each { |what, ns| puts format("%-38s %7.0f ns without, %7.0f ns with: %+.0f ns", what, without[what], ns, ns - without[what]) }
RUBY

def run(program, environment)
  environment = { "RUBYOPT" => nil, "OTEL_TRACES_EXPORTER" => "none", "OTEL_LOG_LEVEL" => "error",
                  "OTEL_LIBRARY" => File.join(__dir__, "otel_double.rb") }.merge(environment)
  out, status = Open3.capture2(environment, RbConfig.ruby, *ENV.fetch("CPROF_TEST_RUBY_OPTIONS", "").split, "-e", PRELUDE + program)
  abort "the workload failed" unless status.success?
  out
end

seconds = ARGV.fetch(0, "20")
puts "#{RUBY_DESCRIPTION}, #{Etc.nprocessors} CPUs, load #{File.read("/proc/loadavg").split.first}, #{Time.now.strftime("%F")}"

def print_handler(what, environment)
  ruby, native, best, middle, windows = run(DEEP, environment).split.map(&:to_f)
  puts format("handler at %d Ruby and %d native frames, %s: %.2f µs (median of %d windows %.2f)", ruby, native, what, best / 1000, windows, middle / 1000)
end

print_handler("1,000 Hz", {})
# A library of the tests, in C.
def build(folder, source)
  library = File.join(folder, "#{File.basename(source, ".c")}.so")
  system("cc", "-shared", "-fPIC", "-O1", "-o", library, File.expand_path(source, __dir__)) && library
end

Dir.mktmpdir do |folder|
  if (library = build(folder, "fast_timer.c"))
    print_handler("warm (20,000 Hz)", { "LD_PRELOAD" => library, "FAST_TIMER_NS" => "50000" })
  end
  puts run(CONTEXT, {})
  if (library = build(folder, "../bench/empty_handler.c"))
    puts run(EMPTY, { "SECONDS" => seconds, "EMPTY_HANDLER" => library })
  end
  puts run(SAMPLED, { "SECONDS" => seconds })
  puts run(OWN, { "SECONDS" => seconds })
end
