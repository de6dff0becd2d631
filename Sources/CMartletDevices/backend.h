// What a kind of driver brings, and what all of them share.
#ifndef CMD_BACKEND_H
#define CMD_BACKEND_H

#include "include/CMartletDevices.h"

/// Records of a queue: while the device does one, the next is written.
enum { RECORDS = 2, ARGUMENT_BYTES = 128 };

/// The functions of CMartletDevices.h for one kind of driver, with its contract.
typedef struct cmd_backend {
    size_t (*list)(cmd_description *descriptions, size_t capacity, cmd_error *error);
    cmd_device *(*open)(size_t number, cmd_error *error);
    void (*close)(cmd_device *device);
    bool (*free_memory)(cmd_device *device, uint64_t *bytes);
    bool (*allocate)(
        cmd_device *device, uint64_t size, cmd_place_of place, cmd_memory *memory,
        cmd_error *error);
    bool (*import)(
        cmd_device *device, void *host, uint64_t size, cmd_memory *memory, cmd_error *error);
    void (*free)(cmd_device *device, cmd_memory *memory);
    bool (*prepare)(cmd_device *device, cmd_kernel kernel, unsigned element, cmd_error *error);
    bool (*begin)(cmd_device *device, cmd_queue queue, uint64_t nanoseconds, cmd_error *error);
    void (*dispatch)(
        cmd_device *device, cmd_kernel kernel, unsigned element, const void *arguments,
        size_t size, uint32_t x, uint32_t y, uint32_t z);
    void (*barrier)(cmd_device *device, cmd_queue queue);
    void (*copy)(
        cmd_device *device, cmd_queue queue, const cmd_memory *from, uint64_t from_offset,
        const cmd_memory *to, uint64_t to_offset, uint64_t size);
    void (*fill)(
        cmd_device *device, const cmd_memory *memory, uint64_t offset, uint64_t size,
        uint32_t word);
    uint64_t (*submit)(cmd_device *device, cmd_queue queue, cmd_error *error);
    bool (*wait)(
        cmd_device *device, cmd_queue queue, uint64_t work, uint64_t nanoseconds,
        cmd_error *error);
} cmd_backend;

extern const cmd_backend cmd_vulkan, cmd_cuda;

/// A backend's own device begins with this.
struct cmd_device {
    const cmd_backend *backend;
};

/// Says what failed; false, for a return.
bool cmd_fail(cmd_error *error, cmd_status status, const char *text);
/// Loads a driver; NULL with an error when it is not there, or this program is static.
void *cmd_open_library(const char *name, cmd_error *error);
/// Whether a test wants the next driver call to fail; then the error says so.
bool cmd_is_injected(const char *call, cmd_error *error);

#endif
