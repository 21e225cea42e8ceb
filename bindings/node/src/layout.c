#include "layout.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "bytecodes.h"

struct layout layout;

/* The unexported offsets were looked at in 10.2, 11.3, 12.4, 13.6 and 14.6; on others between
 * them the self-test decides. */
enum { OLDEST_V8 = 10, OLDEST_V8_WITH_CODE = 12, NEWEST_V8 = 14 };

enum { MISSING = INT32_MIN };

static int constant(const char *name)
{
    char symbol[128];
    snprintf(symbol, sizeof symbol, "v8dbg_%s", name);
    const int *value = dlsym(RTLD_DEFAULT, symbol);
    return value != NULL ? *value : MISSING;
}

/* The types in the names differ between versions: the first of up to three spellings. */
struct wanted {
    int *into;
    const char *names[3];
};

static bool read_all(const struct wanted *wanted, size_t count, char *why, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        *wanted[i].into = MISSING;
        for (size_t n = 0; n < 3 && wanted[i].names[n] && *wanted[i].into == MISSING; n++)
            *wanted[i].into = constant(wanted[i].names[n]);
        if (*wanted[i].into == MISSING) {
            snprintf(why, size, "this node does not export v8dbg_%s", wanted[i].names[0]);
            return false;
        }
    }
    return true;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool read_objects(char *why, size_t size)
{
    struct layout *l = &layout;
    const struct wanted wanted[] = {
        {&l->map_instance_type, {"class_Map__instance_type__uint16_t"}},
        {&l->function_shared, {"class_JSFunction__shared__SharedFunctionInfo"}},
        {&l->shared_name_or_scope,
         {"class_SharedFunctionInfo__name_or_scope_info__Object",
          "class_SharedFunctionInfo__name_or_scope_info__Tagged_Object_",
          "class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_"}},
        {&l->shared_script,
         {"class_SharedFunctionInfo__script_or_debug_info__HeapObject",
          "class_SharedFunctionInfo__script__Tagged_HeapObject_",
          "class_SharedFunctionInfo__raw_script__Tagged_Object_"}},
        {&l->shared_literal_id, {"class_SharedFunctionInfo__flags__int"}},
        {&l->script_name, {"class_Script__name__Object"}},
        {&l->script_source, {"class_Script__source__Object"}},
        {&l->script_id, {"class_Script__line_ends__Object"}},
        {&l->scope_first_variable, {"scopeinfo_idx_first_vars"}},
        {&l->bytecode_data, {"class_BytecodeArray__data__uintptr_t"}},
        {&l->array_length, {"class_FixedArrayBase__length__SMI"}},
        {&l->array_data, {"class_FixedArray__data__uintptr_t"}},
        {&l->string_length, {"class_String__length__int32_t"}},
        {&l->string_data, {"class_SeqOneByteString__chars__char"}},
        {&l->string_first, {"class_ConsString__first__String"}},
        {&l->string_second, {"class_ConsString__second__String"}},
        {&l->string_actual, {"class_ThinString__actual__String"}},
        {&l->string_parent, {"class_SlicedString__parent__String"}},
        {&l->string_offset, {"class_SlicedString__offset__SMI"}},
        {&l->external_resource, {"class_ExternalString__resource__Object"}},
        {&l->type_shared, {"type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE"}},
        {&l->type_script, {"type_Script__SCRIPT_TYPE"}},
        {&l->type_scope, {"type_ScopeInfo__SCOPE_INFO_TYPE"}},
        {&l->type_bytecode, {"type_BytecodeArray__BYTECODE_ARRAY_TYPE"}},
        {&l->type_bytes, {"type_ByteArray__BYTE_ARRAY_TYPE"}},
        {&l->frame_wasm, {"frametype_WasmFrame"}},
    };
    return read_all(wanted, COUNT(wanted), why, size);
}

static bool read_code(char *why, size_t size)
{
    struct layout *l = &layout;
    const struct wanted wanted[] = {
        {&l->code_start, {"class_Code__instruction_start__Address"}},
        {&l->code_size, {"class_Code__instruction_size__int"}},
        {&l->code_flags, {"class_Code__flags__uint32_t"}},
        {&l->stream_start, {"class_InstructionStream__instruction_start__uintptr_t"}},
        {&l->deopt_literals, {"DeoptimizationDataLiteralArrayIndex"}},
        {&l->deopt_id, {"DeoptimizationDataOptimizationIdIndex"}},
        {&l->deopt_inlining, {"DeoptimizationDataInliningPositionsIndex"}},
        {&l->type_stream, {"type_InstructionStream__INSTRUCTION_STREAM_TYPE"}},
        {&l->type_code, {"type_Code__CODE_TYPE"}},
        {&l->type_trusted_bytes, {"type_TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE"}},
        {&l->kind_mask, {"CodeKindFieldMask"}},
        {&l->kind_baseline, {"CodeKindBaseline"}},
    };
    return read_all(wanted, COUNT(wanted), why, size);
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static void fill_read(void)
{
    enum { WORD = 8, INT = 4 };
    struct layout *l = &layout;
    l->shared_read = larger(l->shared_script + WORD, l->shared_literal_id + INT);
    l->code_read = larger(larger(l->code_deopt, l->code_start) + WORD,
                          larger(l->code_size, l->code_flags) + INT);
    l->deopt_read = l->array_data + (larger(l->deopt_id, l->deopt_inlining) + 1) * WORD;
}

/* What V8 does not export. */
static void fill_unexported(void)
{
    bool trusted = layout.v8_major >= 12;
    layout.shared_literal_id += 4; /* follows the flags */
    layout.script_id += 8;         /* follows the line ends */
    layout.script_line_offset = layout.script_name + 8;
    layout.bytecode_positions = trusted ? 24 : 32;
    layout.code_deopt = 8;
    layout.code_positions = 16;
    layout.type_wrapper =
        constant("type_SharedFunctionInfoWrapper__SHARED_FUNCTION_INFO_WRAPPER_TYPE");
    layout.wrapper_shared = 8;
    layout.frame_wasm_to_js = constant("frametype_WasmToJsFrame");
    layout.type_function_first = constant("FirstJSFunctionType");
    layout.type_function_last = constant("LastJSFunctionType");
    if (layout.type_function_first == MISSING) {
        layout.type_function_first = constant("type_JSFunction__JS_FUNCTION_TYPE");
        layout.type_function_last = layout.type_function_first + 16; /* its subclasses */
    }
}

static bool fits(char *why, size_t size)
{
    if (layout.v8_major < OLDEST_V8 || layout.v8_major > NEWEST_V8)
        snprintf(why, size, "V8 %d is not one that cprof knows", layout.v8_major);
    else if (constant("off_fp_context_or_frame_type") != -8 ||
             constant("off_fp_function") != -16 || constant("off_fp_bytecode_array") != -32 ||
             constant("off_fp_bytecode_offset") != -40)
        snprintf(why, size, "the frames of this V8 are not as expected");
    else if (constant("SmiShiftSize") != 31 || constant("HeapObjectTag") != 1 ||
             constant("TaggedSize") != 8)
        snprintf(why, size, "the pointers of this V8 are compressed");
    else
        return true;
    return false;
}

bool layout_find(char *why, size_t size)
{
    const char *(*version)(void) =
        (const char *(*)(void))dlsym(RTLD_DEFAULT, "_ZN2v82V810GetVersionEv");
    if (version == NULL) {
        snprintf(why, size, "this node does not export V8's functions");
        return false;
    }
    layout = (struct layout){
        .v8_major = atoi(version()),
        .frame_entry = constant("frametype_EntryFrame"),
        .frame_construct_entry = constant("frametype_ConstructEntryFrame"),
        .frame_regexp = constant("frametype_IrregexpFrame"),
    };
    if (!fits(why, size) || !read_objects(why, size))
        return false;
    layout.code = layout.v8_major >= OLDEST_V8_WITH_CODE && read_code(why, size);
    fill_unexported();
    fill_read();
    bytecodes_find(version());
    return true;
}
