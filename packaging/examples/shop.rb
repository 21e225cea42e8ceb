# A small shop's nightly run in Ruby: what packaging/demo profiles beside shop.py. Three threads
# price carts, render pages with ERB and archive orders as compressed JSON. Takes about four seconds.

require "erb"
require "json"
require "zlib"

SECONDS = 4.0

class Cart
  def initialize(random)
    @lines = Array.new(60) { [random.rand(1..8), random.rand * 100] }
  end

  def total
    @lines.sum { |count, price| count * discounted(price) }
  end

  def discounted(price)
    price > 80 ? price * 0.9 : price
  end
end

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

def price_carts(deadline)
  random = Random.new(1)
  carts = Array.new(200) { Cart.new(random) }
  priced = 0
  while now < deadline
    carts.sort_by!(&:total)
    priced += carts.size
  end
  priced
end

def render_pages(deadline)
  page = ERB.new("<ul><% 200.times do |n| %><li><%= n * 7 % 97 %></li><% end %></ul>")
  rendered = 0
  while now < deadline
    page.result(binding).gsub(/<li>\d7<\/li>/) { |item| item.upcase }
    rendered += 1
  end
  rendered
end

def archive_orders(deadline)
  random = Random.new(3)
  orders = Array.new(400) { |id| { id: id, items: Array.new(20) { random.rand } } }
  bytes = 0
  bytes += Zlib::Deflate.deflate(JSON.generate(orders)).bytesize while now < deadline
  bytes
end

deadline = now + SECONDS
workers = { price_carts: "carts priced", render_pages: "pages", archive_orders: "bytes archived" }
  .map do |work, unit|
    thread = Thread.new { "#{send(work, deadline)} #{unit}" }
    thread.name = work.to_s
    thread
  end
puts workers.map(&:value).join(", ")
