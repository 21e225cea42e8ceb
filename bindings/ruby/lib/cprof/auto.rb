# frozen_string_literal: true

# Starts the profiler with the program: RUBYOPT=-rcprof/auto. Everything is set by the
# environment (docs/configuration.md); CPROF_ENABLED=0 leaves it off.

# `cprof run` names this file by its path, and the program's bundle need not have the gem.
library = File.expand_path("..", __dir__)
$LOAD_PATH << library unless $LOAD_PATH.include?(library)
require "cprof"

unless %w[0 false off no].include?(ENV["CPROF_ENABLED"].to_s.downcase)
  begin
    Cprof::Native.watch_for_spans if Cprof.start
  rescue StandardError => e
    warn "cprof: #{e.message}; the program runs on unprofiled"
  end
end
