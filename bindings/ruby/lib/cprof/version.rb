# frozen_string_literal: true

module Cprof
  VERSION = "0.1.0"
end
