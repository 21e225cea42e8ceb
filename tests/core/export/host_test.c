/* A program that exports a TLS library of its own, as node does: ours must not call it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "export/exporter.h"
#include "samples.h"
#include "server.h"

static _Atomic unsigned captured;

/* What libcurl calls first of OpenSSL. */
#define OWN(name)                                                                              \
    __attribute__((visibility("default"))) void *name(void);                                   \
    void *name(void)                                                                           \
    {                                                                                          \
        captured++;                                                                            \
        return NULL;                                                                           \
    }
OWN(OPENSSL_init_ssl)
OWN(OPENSSL_init_crypto)
OWN(SSL_CTX_new)
OWN(SSL_new)
OWN(TLS_client_method)
OWN(BIO_new)

static void the_programs_own_tls_functions_are_never_called(void **state)
{
    (void)state;
    char error[256], url[128];
    const struct reply script[] = {{REPLY_CLOSE, "no TLS here", 11}};
    struct server *server = server_start(script, 1);
    stpcpy(stpcpy(url, "https"), server_url(server) + strlen("http"));
    const struct exporter_options options = {.otlp = {.url = url, .timeout = 1},
                                             .library_directory = HTTP_MODULE_DIRECTORY};
    struct exporter *exporter = exporter_new(&options, error, sizeof error);
    assert_non_null(exporter);
    capture_errors();
    exporter_submit(exporter, make_profile(1, NULL));
    int stopped = exporter_stop(exporter, 2, NULL);
    char *told = captured_errors();
    assert_int_equal(stopped, -ETIMEDOUT);
    assert_non_null(strstr(told, "profiles are kept"));
    assert_int_equal(captured, 0);
    free(told);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_programs_own_tls_functions_are_never_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
