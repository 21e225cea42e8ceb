# frozen_string_literal: true

module Cprof
  # What has to be noticed of a process's life. Prepended once, at the first start.
  # @api private
  module Hooks
    # Around every fork of Ruby's: Process.fork, Kernel#fork, IO.popen("-").
    module Fork
      def _fork
        Native.fork_prepare
        child = nil
        child = super
      ensure
        Hooks.in_child if child == 0
        child == 0 ? Native.fork_child : Native.fork_parent
      end
    end

    # A forked child that leaves past at_exit, as Resque's leave after each job: what it has
    # sampled is delivered first, within the usual time. It leaves even when a signal's exception
    # or Thread#raise comes meanwhile: what would rescue that is the parent's.
    module HardExit
      def exit!(...)
        Hooks.deliver_in_child
      ensure
        super
      end
    end

    # The same of Kernel#exit!, which is private.
    module PrivateHardExit
      private

      def exit!(...)
        Hooks.deliver_in_child
      ensure
        super
      end
    end

    # The parent is gone when it returns: only the child is left.
    module Daemon
      def daemon(...)
        Native.fork_prepare
        done = false
        super.tap { done = true }
      ensure
        done ? Native.fork_child : Native.fork_parent
      end
    end

    # A thread is known by the name that it is given.
    module ThreadName
      def name=(name)
        super.tap { Hooks.tell_name(self) }
      end
    end

    # By what Thread says, and not a subclass that means something else by it. In any Ractor.
    def self.tell_name(thread)
      id = thread.native_thread_id
      name = Thread.instance_method(:name).bind_call(thread)
      Native.describe_thread(id, name) if id && name
    end

    def self.tell_names
      Thread.list.each { |thread| tell_name(thread) }
    end

    def self.in_child
      @child = true
    end

    def self.deliver_in_child
      Cprof.stop(timeout: EXIT_SECONDS) if @child && Cprof.running?
    end

    def self.install
      return if @installed

      @installed = true
      Process.singleton_class.prepend(Fork)
      Process.singleton_class.prepend(Daemon)
      Process.singleton_class.prepend(HardExit)
      Kernel.singleton_class.prepend(HardExit)
      Kernel.prepend(PrivateHardExit)
      Thread.prepend(ThreadName)
    end

    # At the program's end; again where another at_exit has started the profiler after that.
    def self.stop_at_exit
      return if @stops

      @stops = true
      at_exit do
        @stops = false
        Cprof.stop(timeout: EXIT_SECONDS) if Cprof.running?
      end
    end
  end
end
