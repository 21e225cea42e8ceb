#include "export/http.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "base/own_module.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0 /* musl has no such order of search */
#endif

/* RTLD_DEEPBIND makes libcurl find the TLS library it was linked to before one that the host
 * exports (node does). But it would also bind `free` to libc's while libc's own strdup calls
 * the allocator that was put in front of libc (LD_PRELOAD=libjemalloc.so, a sanitizer): such a
 * process gets the ordinary order of search. */
static int binding(void)
{
    if (SANITIZED)
        return 0;
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    bool own_allocator = libc != NULL && dlsym(libc, "malloc") != dlsym(RTLD_DEFAULT, "malloc");
    if (libc != NULL)
        dlclose(libc);
    return own_allocator ? 0 : RTLD_DEEPBIND;
}

static const struct http_library *load(const char *directory, char *error, size_t error_size)
{
    const char *file = "libcprof_http.so";
    const struct http_library *library =
        own_module_load(directory, file, "cprof_http", binding(), error, error_size);
    if (library != NULL && library->version != HTTP_LIBRARY_VERSION) {
        snprintf(error, error_size, "%s belongs to another version of cprof", file);
        return NULL;
    }
    return library;
}

const struct http_library *http_load(const char *directory, char *error, size_t error_size)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static const struct http_library *loaded;
    pthread_mutex_lock(&lock);
    if (loaded == NULL)
        loaded = load(directory, error, error_size);
    const struct http_library *library = loaded;
    pthread_mutex_unlock(&lock);
    return library;
}
