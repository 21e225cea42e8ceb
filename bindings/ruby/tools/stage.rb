# frozen_string_literal: true

require "fileutils"

# A gem carries the core along, as core-src: copies it there from the clone that this folder is
# part of. In an unpacked gem there is nothing to copy from, and nothing is done.
module Stage
  GEM = File.expand_path("..", __dir__)
  CLONE = File.expand_path("../..", GEM)
  PARTS = %w[CMakeLists.txt LICENSE NOTICE cmake core cli proto].freeze

  def self.run
    return unless File.exist?(File.join(CLONE, "core/include/cprof/runtime.h"))

    target = File.join(GEM, "core-src")
    FileUtils.rm_rf(target)
    FileUtils.mkdir_p(target)
    PARTS.map { |part| File.join(CLONE, part) }
         .select { |path| File.exist?(path) }
         .each { |path| FileUtils.cp_r(path, target, preserve: true) }
  end
end

Stage.run if $PROGRAM_NAME == __FILE__
