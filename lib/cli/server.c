/* cli/server.c: from options to a client. */
#include "cli/server.h"

#include <stdlib.h>

#include "base/banned.h"

int tsm_server_client(const struct tsm_common *common, const struct tsm_client_options *opt,
                      struct tsm_client **c, struct tsm_err *err)
{
    struct tsm_client_options o = *opt;
    struct tsm_buf url = {0};
    *c = NULL;
    if (common->host) {
        o.url = common->host;
        o.user = common->user;
        o.password = common->user ? getenv("TSM_PASSWORD") : NULL;
        o.insecure = common->insecure;
        o.ca_file = getenv("SSL_CERT_FILE");
    } else if (tsm_client_daemon_lives(common->data, &url)) {
        o.url = tsm_buf_cstr(&url);
    } else {
        return TSM_OK;
    }
    int rc = tsm_client_new(&o, c, err);
    tsm_buf_release(&url);
    return rc;
}
