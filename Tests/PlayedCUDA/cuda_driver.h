#ifndef CUDA_DRIVER_H
#define CUDA_DRIVER_H

#include "ptx_run.h"

// What the played driver's files share. Signatures and numbers are those of the real one.

typedef enum {
    CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1, CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3, CUDA_ERROR_DEINITIALIZED = 4, CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_INVALID_DEVICE = 101, CUDA_ERROR_INVALID_IMAGE = 200,
    CUDA_ERROR_INVALID_CONTEXT = 201, CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    CUDA_ERROR_INVALID_PTX = 218, CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
    CUDA_ERROR_INVALID_HANDLE = 400, CUDA_ERROR_NOT_FOUND = 500, CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_ILLEGAL_ADDRESS = 700, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
    CUDA_ERROR_LAUNCH_TIMEOUT = 702, CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
    CUDA_ERROR_LAUNCH_FAILED = 719, CUDA_ERROR_NOT_SUPPORTED = 801, CUDA_ERROR_UNKNOWN = 999
} played_result;

enum {
    PLAYED_DEVICES = 8,
    PLAYED_SHARED_BYTES = 48 * 1024,
    PLAYED_DRIVER_VERSION = 11080,  ///< and PTX up to 7.8, its newest
    PLAYED_PTX_VERSION = 78,
    PLAYED_CAPABILITY = 80
};

typedef uint64_t played_pointer;

typedef struct played_stream played_stream;

/// A device's primary context.
typedef struct {
    int device;
    unsigned retained;
    bool is_broken;           ///< a kernel did what it must not: nothing works from then on
    uint64_t used;            ///< bytes of the device's memory
    played_stream *own;       ///< the stream NULL
} played_context;

typedef struct played_event {
    struct played_event *next;
    played_context *context;
    uint64_t recorded, done;  ///< how often, and how many of them were reached
    played_stream *stream;    ///< of the last record
    unsigned uses;            ///< by queued work
    bool is_destroyed;
} played_event;

typedef struct played_module {
    struct played_module *next;
    played_context *context;
    ptx_module *ptx;
} played_module;

typedef enum { PLAYED_COPY, PLAYED_SET, PLAYED_LAUNCH, PLAYED_RECORD, PLAYED_WAIT } played_kind;

typedef struct played_work {
    struct played_work *next;
    played_kind kind;
    played_pointer to, from;
    uint64_t bytes;
    uint32_t value;
    played_event *event;
    uint64_t version;         ///< of the event
    played_stream *on;        ///< whose work reaches it
    ptx_launch launch;
    uint8_t *params;
} played_work;

struct played_stream {
    played_stream *next;
    played_context *context;
    played_work *first, *last;
    bool is_own;              ///< a context's stream NULL, which nobody created
};

/// What the table of allocations knows besides addresses.
typedef struct {
    void *map;
    size_t map_bytes;
    bool is_host;
} played_map;

typedef struct {
    ptx_world world;
    played_map *maps;         ///< of the world's ranges
    played_context contexts[PLAYED_DEVICES];
    int device_count;
    uint64_t memory;
    bool is_initialized;
    uint64_t generation;      ///< counts resets, so that a thread's context of before is none
    played_stream *streams;
    played_event *events;
    played_module *modules;
    char fault[PTX_ERROR_BYTES];
} played_state;

extern played_state played;

/// Takes the lock until the function returns.
#define PLAYED_LOCKED                                                                             \
    __attribute__((cleanup(played_unlock))) int played_lock_held = played_lock();                 \
    (void)played_lock_held

int played_lock(void);
void played_unlock(int *held);

/// Keeps the first text.
void played_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// The thread's context, or why there is none that works.
played_result played_current(played_context **context);
void played_make_current(played_context *context);

/// The work of a stream or a module that is gone, or of a context that broke, is dropped.
void played_drop(played_stream *stream);
/// NULL is the context's own stream; NULL is the answer for a handle that is none.
played_stream *played_find_stream(played_context *context, void *handle);
played_work *played_queue(played_stream *stream, played_kind kind);
void played_free_events(void);

/// The place of the allocation that has the address, or -1.
long played_find_range(played_pointer address);
/// Whether all of it lies in one allocation.
bool played_is_within(played_pointer address, uint64_t bytes);
/// Copies and sets as queued work says, once more looking at the table.
bool played_run_copy(const played_work *work);
void played_free_all_memory(void);

bool played_uses_module(const played_module *module);
void played_free_module(played_module *module);

typedef struct {
    const char *name;
    void *function;
} played_function;

/// Each file's functions; the last one has no name.
extern const played_function played_device_functions[], played_memory_functions[],
    played_stream_functions[], played_module_functions[];

#endif
