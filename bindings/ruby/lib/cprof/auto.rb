# frozen_string_literal: true

# Starts the profiler with the program: RUBYOPT=-rcprof/auto. Everything is set by the
# environment (docs/configuration.md); CPROF_ENABLED=0 leaves it off.

require "cprof"

unless %w[0 false off no].include?(ENV["CPROF_ENABLED"].to_s.downcase)
  begin
    Cprof.start
  rescue StandardError => e
    warn "cprof: #{e.message}; the program runs on unprofiled"
  end
end
