# frozen_string_literal: true

require "zlib"

# Reads just enough of a gzipped pprof file: its samples with their stacks and labels.
class Pprof
  Frame = Struct.new(:name, :file, :line)
  # stack: innermost first; weight: samples; nanoseconds of CPU; values: every column by its type
  Sample = Struct.new(:stack, :weight, :nanoseconds, :labels, :values) do
    def names = stack.map(&:name)
    def root_first = names.reverse
  end

  attr_reader :samples, :comments

  def self.read(path) = new(Zlib::GzipReader.open(path, &:read))

  def initialize(bytes)
    message = fields(bytes)
    @strings = message[6].map { |s| s.dup.force_encoding("UTF-8") }
    @types = message[1].map { |type| @strings[one(fields(type), 1)] }
    @functions = by_id(message[5]) { |f| [@strings[one(f, 2)], @strings[one(f, 4)]] }
    @locations = by_id(message[4]) { |l| l[4].map { |line| frame(fields(line)) } }
    @comments = packed(message[13]).map { |id| @strings[id] }
    @samples = message[2].map { |s| sample(fields(s)) }
  end

  def weight = samples.sum(&:weight)

  # What cprof told of the profile under this name.
  def counted(name) = comments.filter_map { |text| text[/#{Regexp.escape(name)}=(\d+)/, 1] }.sum(&:to_i)

  def cpu_seconds = samples.sum(&:nanoseconds) / 1e9

  # The share of the weight of samples that the block picks.
  def share(&block) = samples.select(&block).sum(&:weight).fdiv(weight)

  private

  def by_id(messages)
    messages.to_h { |bytes| (f = fields(bytes)) && [one(f, 1), yield(f)] }
  end

  def frame(line)
    name, file = @functions.fetch(one(line, 1))
    Frame.new(name, file, one(line, 2))
  end

  def sample(fields)
    stack = packed(fields[1]).flat_map { |id| @locations.fetch(id) }
    values = packed(fields[2])
    labels = fields[3].to_h do |bytes|
      label = fields(bytes)
      [@strings[one(label, 1)], label[2].empty? ? one(label, 3) : @strings[one(label, 2)]]
    end
    Sample.new(stack, values[0], values[1], labels, @types.zip(values).to_h)
  end

  def one(fields, number) = fields[number].last || 0

  def packed(values)
    values.flat_map do |value|
      next [value] if value.is_a?(Integer)

      numbers = []
      at = 0
      while at < value.bytesize
        number, at = varint(value, at)
        numbers << number
      end
      numbers
    end
  end

  def varint(bytes, at)
    number = shift = 0
    loop do
      byte = bytes.getbyte(at)
      at += 1
      number |= (byte & 0x7f) << shift
      return [number, at] if byte < 0x80

      shift += 7
    end
  end

  def fields(bytes)
    found = Hash.new { |hash, key| hash[key] = [] }
    at = 0
    while at < bytes.bytesize
      key, at = varint(bytes, at)
      case key & 7
      when 0 then value, at = varint(bytes, at)
      when 1 then value, at = bytes.byteslice(at, 8), at + 8
      when 2
        size, at = varint(bytes, at)
        value = bytes.byteslice(at, size)
        at += size
      else raise "wire type #{key & 7}"
      end
      found[key >> 3] << value
    end
    found
  end
end
