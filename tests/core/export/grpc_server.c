#include "grpc_server.h"

#include <arpa/inet.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CALLS 4096
#define METHOD "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"

struct grpc_server {
    const struct grpc_reply *script;
    size_t script_length;
    int listener;
    int quit[2]; /* a pipe: closed to end the thread */
    char url[160];
    pthread_t thread;
    pthread_mutex_t lock;
    struct grpc_call calls[MAX_CALLS];
    size_t call_count;
};

/* One connection and the call on it. */
struct connection {
    struct grpc_server *server;
    nghttp2_session *session;
    int fd;
    bool open;
    struct grpc_call call; /* being received */
    const struct grpc_reply *reply;
    size_t sent; /* of the reply's body */
};

static bool quitting(const struct grpc_server *server, int timeout_ms)
{
    struct pollfd polled = {.fd = server->quit[0], .events = POLLIN};
    return poll(&polled, 1, timeout_ms) > 0;
}

static bool readable(const struct grpc_server *server, int fd, int timeout_ms)
{
    struct pollfd polled[] = {{.fd = server->quit[0], .events = POLLIN},
                              {.fd = fd, .events = POLLIN}};
    int ready = poll(polled, 2, timeout_ms);
    return ready > 0 && polled[0].revents == 0 && polled[1].revents != 0;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)name,
                        .value = (uint8_t *)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static size_t grpc_headers(const struct grpc_reply *reply, nghttp2_nv *headers)
{
    size_t count = 0;
    if (reply->status)
        headers[count++] = header("grpc-status", reply->status);
    if (reply->message)
        headers[count++] = header("grpc-message", reply->message);
    if (reply->details)
        headers[count++] = header("grpc-status-details-bin", reply->details);
    return count;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *context)
{
    struct connection *connection = context;
    const struct grpc_reply *reply = connection->reply;
    nghttp2_nv trailers[3];
    (void)source;
    if (reply->manner == GRPC_TRICKLE || reply->manner == GRPC_FLOOD) {
        bool trickle = reply->manner == GRPC_TRICKLE;
        if (quitting(connection->server, trickle ? 20 : 0))
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        memset(to, 0, trickle ? 1 : room);
        return trickle ? 1 : (ssize_t)room;
    }
    size_t left = reply->body_size - connection->sent, taken = left < room ? left : room;
    if (taken > 0)
        memcpy(to, reply->body + connection->sent, taken);
    connection->sent += taken;
    if (connection->sent == reply->body_size) {
        *flags = NGHTTP2_DATA_FLAG_EOF;
        if (reply->manner == GRPC_ANSWER) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(session, stream, trailers, grpc_headers(reply, trailers));
        }
    }
    return (ssize_t)taken;
}

static void send_raw(struct connection *connection, const char *bytes)
{
    if (send(connection->fd, bytes, strlen(bytes), MSG_NOSIGNAL) < 0)
        connection->open = false;
}

static void answer(struct connection *connection, int32_t stream)
{
    static const struct linger at_once = {.l_onoff = 1};
    const struct grpc_reply *reply = connection->reply;
    nghttp2_session *session = connection->session;
    nghttp2_data_provider body = {.read_callback = read_body};
    nghttp2_nv headers[5] = {
        header(":status", reply->http ? reply->http : "200"),
        header("content-type", reply->content_type ? reply->content_type : "application/grpc")};
    connection->sent = 0;
    switch (reply->manner) {
    case GRPC_ANSWER:
    case GRPC_NO_TRAILERS:
    case GRPC_TRICKLE:
    case GRPC_FLOOD:
        nghttp2_submit_response(session, stream, headers, 2, &body);
        return;
    case GRPC_TRAILERS_ONLY:
        nghttp2_submit_response(session, stream, headers, 2 + grpc_headers(reply, headers + 2),
                                NULL);
        return;
    case GRPC_STATUS_AND_RESET:
        nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, stream, NULL, headers,
                               2 + grpc_headers(reply, headers + 2), NULL);
        nghttp2_session_send(session); /* a reset would overtake them */
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_NO_ERROR);
        return;
    case GRPC_RESET_STREAM:
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_REFUSED_STREAM);
        return;
    case GRPC_GOAWAY:
        nghttp2_session_terminate_session2(session, 0, NGHTTP2_NO_ERROR);
        return;
    case GRPC_HANG:
        readable(connection->server, connection->fd, -1);
        break;
    case GRPC_GARBAGE:
        send_raw(connection, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwhat");
        break;
    case GRPC_RESET:
        setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        break;
    case GRPC_CLOSE:
        break;
    }
    connection->open = false;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_length, const uint8_t *value, size_t value_length,
                     uint8_t flags, void *context)
{
    struct connection *connection = context;
    char *longer;
    (void)session;
    (void)frame;
    (void)flags;
    if (asprintf(&longer, "%s%.*s: %.*s\n",
                 connection->call.headers ? connection->call.headers : "", (int)name_length,
                 name, (int)value_length, value) < 0)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    free(connection->call.headers);
    connection->call.headers = longer;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t size, void *context)
{
    struct connection *connection = context;
    struct grpc_call *call = &connection->call;
    (void)session;
    (void)flags;
    (void)stream;
    call->body = realloc(call->body, call->body_size + size + 1);
    memcpy(call->body + call->body_size, data, size);
    call->body_size += size;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct connection *connection = context;
    struct grpc_server *server = connection->server;
    (void)session;
    if (frame->hd.type != NGHTTP2_DATA || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    pthread_mutex_lock(&server->lock);
    size_t index = server->call_count++;
    server->calls[index] = connection->call;
    pthread_mutex_unlock(&server->lock);
    connection->call = (struct grpc_call){0};
    connection->reply =
        &server->script[index < server->script_length ? index : server->script_length - 1];
    answer(connection, frame->hd.stream_id);
    return 0;
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags,
                       void *context)
{
    const struct connection *connection = context;
    (void)session;
    (void)flags;
    ssize_t sent = send(connection->fd, data, size, MSG_NOSIGNAL);
    return sent > 0 ? sent : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static nghttp2_session *make_session(struct connection *connection)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_session *session;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_server_new(&session, callbacks, connection);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0);
    return session;
}

static void serve(struct grpc_server *server, int fd)
{
    struct connection connection = {.server = server, .fd = fd, .open = true};
    unsigned char bytes[1 << 14];
    connection.session = make_session(&connection);
    while (connection.open && nghttp2_session_send(connection.session) == 0) {
        ssize_t got = readable(server, fd, -1) ? read(fd, bytes, sizeof bytes) : 0;
        if (got <= 0 || nghttp2_session_mem_recv(connection.session, bytes, (size_t)got) != got)
            break;
    }
    nghttp2_session_del(connection.session);
    free(connection.call.headers);
    free(connection.call.body);
    close(fd);
}

static void *run(void *argument)
{
    struct grpc_server *server = argument;
    while (readable(server, server->listener, -1)) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve(server, fd);
    }
    return NULL;
}

struct grpc_server *grpc_server_start(const struct grpc_reply *script, size_t count)
{
    struct grpc_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    server->script = script;
    server->script_length = count;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server->listener, 16) != 0 || pipe(server->quit) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &length) != 0) {
        perror("test server");
        exit(1);
    }
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%d" METHOD,
             ntohs(address.sin_port));
    pthread_mutex_init(&server->lock, NULL);
    pthread_create(&server->thread, NULL, run, server);
    return server;
}

const char *grpc_server_url(const struct grpc_server *server)
{
    return server->url;
}

size_t grpc_server_calls(struct grpc_server *server)
{
    pthread_mutex_lock(&server->lock);
    size_t count = server->call_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

const struct grpc_call *grpc_server_call(struct grpc_server *server, size_t index)
{
    return index < grpc_server_calls(server) ? &server->calls[index] : NULL;
}

void grpc_server_stop(struct grpc_server *server)
{
    close(server->quit[1]);
    pthread_join(server->thread, NULL);
    close(server->quit[0]);
    close(server->listener);
    for (size_t i = 0; i < server->call_count; i++) {
        free(server->calls[i].headers);
        free(server->calls[i].body);
    }
    pthread_mutex_destroy(&server->lock);
    free(server);
}
