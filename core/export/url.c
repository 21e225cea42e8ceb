#include "export/url.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

char *url_for_people(const char *url)
{
    char *shown = strdup(url);
    if (shown == NULL)
        return NULL;
    shown[strcspn(shown, "?#")] = '\0';
    char *host = strstr(shown, "://");
    host = host ? host + 3 : shown;
    char *path = host + strcspn(host, "/");
    for (char *at = path; at > host; at--) {
        if (at[-1] == '@') {
            memmove(host, at, strlen(at) + 1);
            break;
        }
    }
    return shown;
}

/* Plain http takes the lower-case name only, because a CGI server turns a client's "Proxy:"
 * header into HTTP_PROXY. */
struct url_proxies url_proxies(const char *url)
{
    static const char *const for_http[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const for_https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy",
                                            "ALL_PROXY", NULL};
    struct url_proxies found = {0};
    bool secure = strncasecmp(url, "https:", 6) == 0;
    for (const char *const *name = secure ? for_https : for_http; *name; name++)
        if ((found.proxy = getenv(*name)) != NULL)
            break;
    found.no_proxy = getenv("no_proxy");
    if (found.no_proxy == NULL)
        found.no_proxy = getenv("NO_PROXY");
    return found;
}
