# frozen_string_literal: true

# Builds the extension with CMake, and writes the Makefile that RubyGems wants, which only
# installs what was built. Where it cannot be built the Makefile does nothing: the gem installs
# all the same, and says at run time that it profiles nothing.

require "fileutils"
require "rbconfig"

begin
  require "mkmf"
rescue SystemExit, LoadError
  ENV["CPROF_SKIP_BUILD"] = "1" # there are no headers of Ruby's; it has said so
end

HERE = __dir__
OUTPUT = File.join(Dir.pwd, "cprof-output")

def build
  config = RbConfig::CONFIG
  headers = [config["rubyhdrdir"], config["rubyarchhdrdir"]].join(";")
  generator = find_executable("ninja") ? %w[-G Ninja] : []
  find_executable("cmake") &&
    xsystem_loud("cmake", "-S", HERE, "-B", "cprof-build", *generator,
                 "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCPROF_RUBY_INCLUDE=#{headers}",
                 "-DCPROF_RUBY_SUFFIX=.#{config["DLEXT"]}", "-DCPROF_RUBY_OUTPUT=#{OUTPUT}") &&
    xsystem_loud("cmake", "--build", "cprof-build", "--parallel", "--target", "cprof_ruby")
end

def xsystem_loud(*command)
  puts command.join(" ")
  system(*command)
end

def write_makefile(files)
  directory = RbConfig.expand("$(sitearchdir)".dup)
  File.write("Makefile", <<~MAKE)
    DESTDIR =
    sitearchdir = #{directory}
    sitelibdir = $(sitearchdir)
    TARGET_SO_DIR = $(DESTDIR)$(sitearchdir)/cprof
    all:
    clean:
    distclean: clean
    install:
    \t#{files.empty? ? "@true" : "mkdir -p $(TARGET_SO_DIR) && cp #{files.join(" ")} $(TARGET_SO_DIR)/"}
    .PHONY: all clean distclean install
  MAKE
end

FileUtils.mkdir_p(OUTPUT)
built = ENV["CPROF_SKIP_BUILD"].nil? && build
warn "cprof: the extension could not be built; the gem will profile nothing" unless built
write_makefile(built ? Dir[File.join(OUTPUT, "*")].sort : [])
