#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "symbol/demangle.h"

static void assert_readable(const char *name, const char *expected)
{
    char readable[DEMANGLE_OUTPUT];
    demangle(name, readable, sizeof readable);
    assert_string_equal(readable, expected);
}

static void cxx_names_become_readable(void **state)
{
    (void)state;
    assert_readable("_ZNSt6vectorIiSaIiEE9push_backERKi",
                    "std::vector<int, std::allocator<int> >::push_back(int const&)");
    assert_readable("_ZN12_GLOBAL__N_14workEv", "(anonymous namespace)::work()");
    assert_readable("_Z3sumIiET_RKSt6vectorIS0_SaIS0_EE",
                    "sum<int>(std::vector<int, std::allocator<int> > const&)");
}

static void cython_s_names_are_python_s(void **state)
{
    (void)state;
    static const struct {
        const char *name, *expected;
    } names[] = {
        {"__pyx_pw_4shop_1first", "shop.first"},
        {"__pyx_pw_4shop_3get_users", "shop.get_users"}, /* a number, not a length */
        {"__pyx_pf_4shop_2get_users", "shop.get_users"},
        {"__pyx_pf_4shop_first", "shop.first"},
        {"__pyx_pw_5pkg_a_7sub_mod_15total_all", "pkg_a.sub_mod.total_all"},
        {"__pyx_pf_5pkg_a_7sub_mod_first", "pkg_a.sub_mod.first"},
        {"__pyx_pw_4shop_4Cart_13total", "shop.Cart.total"},
        {"__pyx_pw_4shop_4Cart_1__init__", "shop.Cart.__init__"},
        {"__pyx_pf_4shop_4cart___init__", "shop.cart.__init__"},
        {"__pyx_pf_4shop_4Cart_total", "shop.Cart.total"},
        {"__pyx_pf_4shop_5outer_inner_one.constprop.0", "shop.outer.inner_one"},
        {"__pyx_f_4shop_area", "shop.area"},
        {"__pyx_f_4shop_4Cart_c_area", "shop.Cart.c_area"},
        {"__pyx_fuse_1__pyx_pw_4shop_24fus", "shop.fus"},
        {"__pyx_pw_4shop_5outer_2__pyx_lambda_funcdef_lambda", "shop.outer.<lambda>"},
        {"__pyx_pw_4shop_5outer_2__pyx_lambda_funcdef_4shop_5outer_lambda",
         "shop.outer.<lambda>"},
        {"__pyx_lambda_funcdef_4shop_5outer_lambda1", "shop.outer.<lambda>"},
        {"__pyx_lambda_funcdef_lambda", "<lambda>"},
        {"__pyx_pf_4shop_5outer_4genexpr", "shop.outer.<genexpr>"},
        {"__pyx_gb_4shop_5outer_5generator3", "shop.outer.<generator>"},
        {"__pyx_getprop_4shop_4Cart_price", "shop.Cart.price"},
        {"__pyx_pw_4shop_4Cart_5price_1__get__", "shop.Cart.price"},
        {"__pyx_pf_4shop_4Cart_5price___get__", "shop.Cart.price"},
        {"__pyx_tp_dealloc_4shop_Cart", "shop.Cart.__dealloc__"},
        {"__pyx_pymod_exec_shop", "shop.<module>"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_readable(names[i].name, names[i].expected);
}

static void names_that_only_begin_like_cython_s_stay_as_they_are(void **state)
{
    (void)state;
    static const char *const names[] = {
        "__pyx_pw_",
        "__pyx_pw_4shop_",
        "__pyx_pw_4shop_13",
        "__pyx_pw_total",
        "__pyx_pf_99999999999999999999shop_total",
        "__pyx_pf_9shop_total",
        "__pyx_fuse_1",
        "__pyx_pymod_exec_",
        "__pyx_tp_new_4shop___pyx_scope_struct_1_co_work",
        "__Pyx_PyObject_Call",
        "__pyx_pymod_create",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_readable(names[i], names[i]);
    char tiny[6];
    demangle("__pyx_pw_4shop_1first", tiny, sizeof tiny);
    assert_string_equal(tiny, "shop.");
}

static void rust_names_lose_their_hash(void **state)
{
    (void)state;
    assert_readable("_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE",
                    "core::fmt::Formatter::write_str");
    assert_readable("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$"
                    "$GT$3bar17h930b740aa94f1d3aE",
                    "<Test + 'static as foo::Bar<Test>>::bar");
    assert_readable("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar");
    assert_readable("_RNvCsdXYz_5hello4main.llvm.1234567890", "hello::main");
}

static void parts_and_copies_of_a_function_have_its_name(void **state)
{
    (void)state;
    assert_readable("list_sort.cold", "list_sort");
    assert_readable("list_sort.part.0.cold", "list_sort");
    assert_readable("f.constprop.0.isra.12", "f");
    assert_readable("_ZN1A4workEi.part.0", "A::work(int)");
    assert_readable("static_name.lto_priv.0", "static_name");
}

static void other_names_stay_as_they_are(void **state)
{
    static const char *const names[] = {"main",
                                        "_start",
                                        "_Z",
                                        "_R",
                                        "",
                                        ".cold",
                                        "a.b.c",
                                        "_ZN",
                                        "__x86.get_pc_thunk",
                                        "py::f:/a/b.py",
                                        "x.7"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_readable(names[i], names[i]);
}

static void long_names_are_cut(void **state)
{
    char name[3 * DEMANGLE_OUTPUT], readable[DEMANGLE_OUTPUT], small[8];
    (void)state;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    demangle(name, readable, sizeof readable);
    assert_int_equal(strlen(readable), DEMANGLE_OUTPUT - 1);
    demangle("_ZN4core3fmt9Formatter9write_strEv", small, sizeof small);
    assert_string_equal(small, "core::f");
}

/* Each substitution holds the one before twice: 2^n copies of "int" are due. */
static void a_name_that_would_print_for_ever_is_cut(void **state)
{
    char name[DEMANGLE_INPUT], readable[DEMANGLE_OUTPUT];
    size_t length = (size_t)sprintf(name, "_Z1fM1AFivE");
    (void)state;
    for (int i = 0; i < 60; i++)
        length += (size_t)sprintf(name + length, "M1AFS%c_S%c_E", "0123456789"[i % 10],
                                  "0123456789"[i % 10]);
    clock_t start = clock();
    demangle(name, readable, sizeof readable);
    assert_true(clock() - start < CLOCKS_PER_SEC / 2);

    length = (size_t)sprintf(name, "_RIC1a");
    for (int i = 0; i < 100; i++)
        length += (size_t)sprintf(name + length, "TB_B_E");
    sprintf(name + length, "E");
    start = clock();
    demangle(name, readable, sizeof readable);
    assert_true(clock() - start < CLOCKS_PER_SEC / 2);
}

static void deeply_nested_names_do_not_exhaust_the_stack(void **state)
{
    static const char *const nests[] = {"P", "N1a", "I", "FvM", "DpT_", "RKO", "_RINvC1aTR"};
    char name[DEMANGLE_INPUT + 1], readable[DEMANGLE_OUTPUT];
    (void)state;
    for (size_t i = 0; i < sizeof nests / sizeof *nests; i++) {
        size_t length = (size_t)sprintf(name, "%s", nests[i][0] == '_' ? "" : "_Z1f");
        while (length + strlen(nests[i]) < sizeof name)
            length += (size_t)sprintf(name + length, "%s", nests[i]);
        demangle(name, readable, sizeof readable);
        assert_true(strlen(readable) > 0);
    }
}

/* See docs/licenses.md: safe-ctype.o would bring these along. */
static void only_objects_with_the_linking_exception_are_linked(void **state)
{
    (void)state;
    assert_int_not_equal(
        system("nm /proc/$PPID/exe | grep -E '_sch_to(lower|upper)|cplus_demangle_opname'"), 0);
    assert_int_equal(system("nm /proc/$PPID/exe | grep -q ' rust_demangle_callback'"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cxx_names_become_readable),
        cmocka_unit_test(cython_s_names_are_python_s),
        cmocka_unit_test(names_that_only_begin_like_cython_s_stay_as_they_are),
        cmocka_unit_test(rust_names_lose_their_hash),
        cmocka_unit_test(parts_and_copies_of_a_function_have_its_name),
        cmocka_unit_test(other_names_stay_as_they_are),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(a_name_that_would_print_for_ever_is_cut),
        cmocka_unit_test(deeply_nested_names_do_not_exhaust_the_stack),
        cmocka_unit_test(only_objects_with_the_linking_exception_are_linked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
