/*
 * Where V8 keeps what the walk and the naming read: offsets into heap objects, instance types
 * and frame types, of the V8 this process runs.
 *
 * Nearly all come from the v8dbg_* constants that V8 exports for debuggers. What it does not
 * export is written here for the V8 versions that were looked at; with any other version, or
 * when a constant is missing, layout_find() says so and JavaScript frames stay opaque: nothing
 * is guessed. Filled once, before the first sample; read by all threads.
 */
#ifndef CPROF_NODE_LAYOUT_H
#define CPROF_NODE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct layout {
    int v8_major;
    bool code; /* optimised and baseline code can be found and its positions read (V8 12+) */

    /* offsets of fields */
    int map_instance_type;
    int function_shared;
    int shared_name_or_scope, shared_script, shared_literal_id;
    int script_name, script_source, script_line_offset, script_id;
    int scope_first_variable; /* in words behind the map */
    int bytecode_positions, bytecode_data;
    int code_deopt, code_positions, code_start, code_size, code_flags;
    int stream_start; /* from an InstructionStream to its code */
    int array_length, array_data, string_length, string_data;
    int string_first, string_second, string_actual, string_parent, string_offset;
    int external_resource;
    /* bytes of an object that hold what the handler reads of it */
    int shared_read, code_read, deopt_read;

    /* indices of an optimised function's deoptimization data */
    int deopt_literals, deopt_id, deopt_inlining;
    /* instance types */
    int type_function_first, type_function_last;
    int type_shared, type_script, type_scope, type_bytecode, type_stream, type_code;
    int type_bytes, type_trusted_bytes, type_wrapper;
    int wrapper_shared;
    /* code kinds; frame types that are named */
    int kind_mask, kind_baseline;
    int frame_wasm, frame_wasm_to_js, frame_regexp;
    int frame_entry, frame_construct_entry; /* known for any V8 that says them */
};

extern struct layout layout;

/* False: `why` holds the reason, for people. */
bool layout_find(char *why, size_t size);

#endif
