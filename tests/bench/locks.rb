# frozen_string_literal: true

# What locks that are free cost while `lock` and `blame` are on: pairs of calls in turns with and without
# them in one process, the least of each.
#
#     ruby locks.rb [ROUNDS]

require "cprof"
require "monitor"

PAIRS = 3000
CHUNKS = 30

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond)

# Nanoseconds for each of so many, by a loop that calls nothing else.
def called(lock)
  begun = now
  i = 0
  while i < PAIRS
    lock.lock
    lock.unlock
    i += 1
  end
  (now - begun).fdiv(PAIRS)
end

def entered(monitor)
  begun = now
  i = 0
  while i < PAIRS
    monitor.enter
    monitor.exit
    i += 1
  end
  (now - begun).fdiv(PAIRS)
end

def within(lock)
  begun = now
  i = 0
  while i < PAIRS
    lock.synchronize { nil }
    i += 1
  end
  (now - begun).fdiv(PAIRS)
end

def again(monitor) = monitor.synchronize { entered(monitor) }

def passed_on(queue)
  begun = now
  i = 0
  while i < PAIRS
    queue << i
    queue.pop
    i += 1
  end
  (now - begun).fdiv(PAIRS)
end

def signalled(condition)
  begun = now
  i = 0
  while i < PAIRS
    condition.signal
    i += 1
  end
  (now - begun).fdiv(PAIRS)
end

CASES = {
  "Mutex, lock and unlock" => [:called, Thread::Mutex.new],
  "Mutex, synchronize" => [:within, Thread::Mutex.new],
  "Monitor, enter and exit" => [:entered, Monitor.new],
  "Monitor, synchronize" => [:within, Monitor.new],
  "Monitor, entered again" => [:again, Monitor.new],
  "Queue, push and pop" => [:passed_on, Thread::Queue.new],
  "SizedQueue, push and pop" => [:passed_on, Thread::SizedQueue.new(9)],
  "ConditionVariable, signal" => [:signalled, Thread::ConditionVariable.new]
}.freeze

rounds = Integer(ARGV.fetch(0, "10"))
least = CASES.transform_values { [Float::INFINITY, Float::INFINITY] }
rounds.times do
  [0, 1].each do |on|
    Cprof.start(types: %w[lock blame], exporter: "none") if on == 1
    CASES.each do |name, (measure, lock)|
      least[name][on] = [least[name][on], *CHUNKS.times.map { send(measure, lock) }].min
    end
    Cprof.stop if on == 1
  end
end
puts "#{RUBY_DESCRIPTION}, least of #{rounds}:"
least.each do |name, (without, beside)|
  puts format("  %-26s %6.1f ns, with cprof %6.1f (%+.1f)", name, without, beside, beside - without)
end
