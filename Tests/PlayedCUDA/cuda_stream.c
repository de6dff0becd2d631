#include <stdlib.h>

#include "cuda_driver.h"

// Streams and events. Work waits in its stream until somebody asks for it.

// MARK: Queues

played_work *played_queue(played_stream *stream, played_kind kind) {
    played_work *work = calloc(1, sizeof *work);
    if (work == NULL) abort();
    work->kind = kind;
    if (stream->last != NULL) stream->last->next = work;
    else stream->first = work;
    stream->last = work;
    return work;
}

static void free_event_if_unused(played_event *event) {
    if (!event->is_destroyed || event->uses > 0) return;
    played_event **at = &played.events;
    while (*at != event) at = &(*at)->next;
    *at = event->next;
    free(event);
}

/// Takes the stream's first work away. What was recorded counts as reached, so that nobody waits
/// for a stream that is gone.
static void finish(played_stream *stream) {
    played_work *work = stream->first;
    stream->first = work->next;
    if (stream->first == NULL) stream->last = NULL;
    if (work->event != NULL) {
        if (work->kind == PLAYED_RECORD && work->event->done < work->version)
            work->event->done = work->version;
        work->event->uses--;
        free_event_if_unused(work->event);
    }
    free(work->params);
    free(work);
}

void played_drop(played_stream *stream) {
    while (stream->first != NULL) finish(stream);
}

static bool run_launch(played_work *work) {
    char fault[PTX_ERROR_BYTES] = "";
    if (ptx_execute(&played.world, &work->launch, fault)) return true;
    played_note("%s", fault);
    return false;
}

/// Runs one piece of the stream's work, or of the work of the stream that it waits for.
static void run_piece(played_stream *stream) {
    played_work *work = stream->first;
    if (work == NULL) return;
    bool is_right = !stream->context->is_broken;
    if (is_right && work->kind == PLAYED_WAIT && work->event->done < work->version) {
        run_piece(work->on);
        return;
    }
    if (is_right && (work->kind == PLAYED_COPY || work->kind == PLAYED_SET))
        is_right = played_run_copy(work);
    if (is_right && work->kind == PLAYED_LAUNCH) is_right = run_launch(work);
    if (!is_right) stream->context->is_broken = true;
    finish(stream);
}

static played_result state_of(const played_context *context) {
    return context->is_broken ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_SUCCESS;
}

static played_result run_all(played_stream *stream) {
    while (stream->first != NULL) run_piece(stream);
    return state_of(stream->context);
}

// MARK: Streams

static played_stream *new_stream(played_context *context, bool is_own) {
    played_stream *stream = calloc(1, sizeof *stream);
    if (stream == NULL) abort();
    stream->context = context;
    stream->is_own = is_own;
    stream->next = played.streams;
    played.streams = stream;
    return stream;
}

played_stream *played_find_stream(played_context *context, void *handle) {
    if (handle == NULL) {
        if (context->own == NULL) context->own = new_stream(context, true);
        return context->own;
    }
    for (played_stream *s = played.streams; s != NULL; s = s->next)
        if (s == handle && s->context == context && !s->is_own) return s;
    return NULL;
}

static played_result find(void *handle, played_stream **stream) {
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    *stream = played_find_stream(context, handle);
    return *stream != NULL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

static int cu_stream_create(void **stream, unsigned flags) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    if (stream == NULL || flags > 1) return CUDA_ERROR_INVALID_VALUE;
    *stream = new_stream(context, false);
    return CUDA_SUCCESS;
}

/// Whoever waits for a stream's events that is gone must not wait for ever, so its work ends here.
static int cu_stream_destroy(void *handle) {
    PLAYED_LOCKED;
    played_stream *stream;
    played_result result = find(handle, &stream);
    if (result != CUDA_SUCCESS) return result;
    if (stream->is_own) return CUDA_ERROR_INVALID_HANDLE;
    result = run_all(stream);
    for (played_event *e = played.events; e != NULL; e = e->next)
        if (e->stream == stream) e->stream = NULL;
    for (played_stream *s = played.streams; s != NULL; s = s->next)
        for (played_work *w = s->first; w != NULL; w = w->next)
            if (w->on == stream) w->on = NULL;
    played_stream **at = &played.streams;
    while (*at != stream) at = &(*at)->next;
    *at = stream->next;
    free(stream);
    return result;
}

static int cu_stream_synchronize(void *handle) {
    PLAYED_LOCKED;
    played_stream *stream;
    played_result result = find(handle, &stream);
    return result != CUDA_SUCCESS ? result : run_all(stream);
}

/// Runs a piece; what was not done before is not said to be done.
static int cu_stream_query(void *handle) {
    PLAYED_LOCKED;
    played_stream *stream;
    played_result result = find(handle, &stream);
    if (result != CUDA_SUCCESS || stream->first == NULL) return result;
    run_piece(stream);
    result = state_of(stream->context);
    return result != CUDA_SUCCESS ? result : CUDA_ERROR_NOT_READY;
}

// MARK: Events

static played_result find_event(void *handle, played_event **event) {
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    for (*event = played.events; *event != NULL; *event = (*event)->next)
        if (*event == handle && !(*event)->is_destroyed) return state_of((*event)->context);
    return CUDA_ERROR_INVALID_HANDLE;
}

void played_free_events(void) {
    while (played.events != NULL) {
        played_event *next = played.events->next;
        free(played.events);
        played.events = next;
    }
}

static int cu_event_create(void **handle, unsigned flags) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    if (handle == NULL || flags > 7) return CUDA_ERROR_INVALID_VALUE;
    played_event *event = calloc(1, sizeof *event);
    if (event == NULL) abort();
    event->context = context;
    event->next = played.events;
    played.events = event;
    *handle = event;
    return CUDA_SUCCESS;
}

static int cu_event_destroy(void *handle) {
    PLAYED_LOCKED;
    played_event *event;
    played_result result = find_event(handle, &event);
    if (result != CUDA_SUCCESS) return result;
    event->is_destroyed = true;
    free_event_if_unused(event);
    return CUDA_SUCCESS;
}

static void queue_event(played_stream *stream, played_kind kind, played_event *event) {
    played_work *work = played_queue(stream, kind);
    work->event = event;
    work->version = event->recorded;
    work->on = event->stream;
    event->uses++;
}

static int cu_event_record(void *handle, void *stream_handle) {
    PLAYED_LOCKED;
    played_event *event;
    played_stream *stream;
    played_result result = find_event(handle, &event);
    if (result == CUDA_SUCCESS) result = find(stream_handle, &stream);
    if (result != CUDA_SUCCESS) return result;
    if (event->context != stream->context) return CUDA_ERROR_INVALID_HANDLE;
    event->recorded++;
    event->stream = stream;
    queue_event(stream, PLAYED_RECORD, event);
    return CUDA_SUCCESS;
}

static int cu_stream_wait(void *stream_handle, void *handle, unsigned flags) {
    PLAYED_LOCKED;
    played_event *event;
    played_stream *stream;
    played_result result = find_event(handle, &event);
    if (result == CUDA_SUCCESS) result = find(stream_handle, &stream);
    if (result != CUDA_SUCCESS) return result;
    if (flags > 1) return CUDA_ERROR_INVALID_VALUE;
    if (event->done < event->recorded) queue_event(stream, PLAYED_WAIT, event);
    return CUDA_SUCCESS;
}

static int cu_event_query(void *handle) {
    PLAYED_LOCKED;
    played_event *event;
    played_result result = find_event(handle, &event);
    if (result != CUDA_SUCCESS || event->done >= event->recorded) return result;
    run_piece(event->stream);
    result = state_of(event->context);
    return result != CUDA_SUCCESS ? result : CUDA_ERROR_NOT_READY;
}

static int cu_event_synchronize(void *handle) {
    PLAYED_LOCKED;
    played_event *event;
    played_result result = find_event(handle, &event);
    if (result != CUDA_SUCCESS) return result;
    while (event->done < event->recorded) run_piece(event->stream);
    return state_of(event->context);
}

const played_function played_stream_functions[] = {
    {"cuStreamCreate", (void *)cu_stream_create},
    {"cuStreamDestroy_v2", (void *)cu_stream_destroy},
    {"cuStreamSynchronize", (void *)cu_stream_synchronize},
    {"cuStreamQuery", (void *)cu_stream_query},
    {"cuStreamWaitEvent", (void *)cu_stream_wait},
    {"cuEventCreate", (void *)cu_event_create},
    {"cuEventDestroy_v2", (void *)cu_event_destroy},
    {"cuEventRecord", (void *)cu_event_record},
    {"cuEventQuery", (void *)cu_event_query},
    {"cuEventSynchronize", (void *)cu_event_synchronize},
    {NULL, NULL}};
