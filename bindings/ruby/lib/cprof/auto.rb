# frozen_string_literal: true

# Starts the profiler with the program: RUBYOPT=-r and this file's path or cprof/auto, or `require: "cprof/auto"` in a Gemfile.
# Everything is set by the environment (docs/configuration.md); CPROF_ENABLED=0 leaves it off.
#
# Any Ruby may get this from its parent's RUBYOPT: no syntax here that an old one does not know.

# A child may be of another Ruby, or go without gems, and would find no cprof/auto by that name.
here = File.expand_path(__FILE__)
if ENV["RUBYOPT"] && here !~ /\s/
  ENV["RUBYOPT"] = ENV["RUBYOPT"].gsub(%r{(\A|\s)-r\s*cprof/auto(\.rb)?(?=\s|\z)}) { "#{$1}-r#{here}" }
end

if RUBY_ENGINE != "ruby" || RUBY_VERSION.to_f < 3.1
  warn "cprof: it is for CRuby from 3.1 on, and this is #{RUBY_ENGINE} #{RUBY_VERSION}; nothing is profiled"
else
  # `cprof run` names this file by its path, and the program's bundle need not have the gem.
  library = File.expand_path("..", File.dirname(here))
  $LOAD_PATH << library unless $LOAD_PATH.include?(library)
  require "cprof"
  Cprof::Native.watch_for_spans if Cprof::AVAILABLE && Cprof::Native.start_with_program(true)
end
