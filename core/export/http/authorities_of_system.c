/* In libcprof_http.so: who links the TLS library knows what it was built with. */
#include "export/authorities.h"

#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

static bool readable(const char *path)
{
    return path != NULL && access(path, R_OK) == 0;
}

const char *authorities_of_system(struct authorities usual)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Arch, Alpine, Gentoo */
        "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL, Amazon Linux */
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* newer ones of these */
        "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
        "/etc/ssl/cert.pem",                                 /* Alpine, LibreSSL */
    };
    if (readable(usual.file) || (usual.file == NULL && readable(usual.folder)))
        return NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (readable(places[i]))
            return places[i];
    return NULL;
}
