# frozen_string_literal: true

module Cprof
  # The gem's version, and that of the core in it.
  VERSION = "0.1.0"
end
