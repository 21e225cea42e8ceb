# frozen_string_literal: true

# What counting allocations takes of a Ruby program, by pairs: the same work once with it and once
# without, in random order.
#
#     ruby -I… tests/bench/allocs.rb [PAIRS]
#
# Prints the CPU time of the thread that works, as the median of all pairs with the quartiles.

require "cprof"
require "json"

Node = Struct.new(:id, :name, :price)
TEXT = "the quick brown fox jumps over the lazy dog " * 40

WORKS = {
  objects: -> { 2_000_000.times { Object.new } },
  strings: -> { 1_000_000.times { |i| i.to_s } },
  service: lambda {
    120.times do
      rows = Array.new(100) { |i| { "id" => i, "name" => "n#{i}", "price" => i * 1.5 } }
      JSON.parse(JSON.generate(rows.sort_by { |row| -row["price"] }))
      TEXT.scan(/[a-z]+/)
      rows.map { |row| "<li>#{row["name"]}</li>" }.join
    end
  },
}.freeze

def cpu_of(work)
  GC.start
  before = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID)
  work.call
  Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) - before
end

def with_cprof(work, types)
  Cprof.start(types: types, exporter: "none", interval: 3600)
  cpu_of(work)
ensure
  Cprof.stop
end

def measure(name, work, types, pairs)
  cpu_of(work)
  ratios = Array.new(pairs) do
    times = [true, false].shuffle.to_h { |on| [on, on ? with_cprof(work, types) : cpu_of(work)] }
    times[true] / times[false] - 1
  end.sort
  low, middle, high = [0.25, 0.5, 0.75].map { |part| 100 * ratios[(part * (pairs - 1)).round] }
  puts format("  %-8s %-15s %+6.2f %%  (quartiles %+.2f, %+.2f)", name, types.join("+"), middle, low, high)
end

pairs = Integer(ARGV.first || 21)
puts "Ruby #{RUBY_VERSION}, #{pairs} pairs"
WORKS.each { |name, work| [%w[cpu], %w[cpu alloc], %w[cpu alloc heap]].each { |types| measure(name, work, types, pairs) } }
