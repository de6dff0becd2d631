#include <stdatomic.h>

#include "vulkan.h"

static VkCommandBuffer record(vulkan_queue *queue) {
    return queue->records[queue->submitted % RECORDS];
}

bool vulkan_begin(cmd_device *shared, cmd_queue number, uint64_t nanoseconds, cmd_error *error) {
    vulkan_device *device = (vulkan_device *)shared;
    vulkan_queue *queue = &device->queues[number];
    if (queue->submitted >= RECORDS
        && !vulkan_wait(shared, number, queue->submitted - RECORDS + 1, nanoseconds, error))
        return false;
    VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    return TRY(device, vkBeginCommandBuffer, error, record(queue), &info);
}

void vulkan_dispatch(
    cmd_device *shared, cmd_kernel kernel, unsigned element, const void *arguments, size_t size,
    uint32_t x, uint32_t y, uint32_t z) {
    vulkan_device *device = (vulkan_device *)shared;
    VkCommandBuffer commands = record(&device->queues[CMD_STEPS]);
    device->vkCmdBindPipeline(
        commands, VK_PIPELINE_BIND_POINT_COMPUTE, device->pipelines[kernel][element]);
    device->vkCmdPushConstants(
        commands, device->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, (uint32_t)size, arguments);
    device->vkCmdDispatch(commands, x, y, z);
}

void vulkan_barrier(cmd_device *shared, cmd_queue number) {
    vulkan_device *device = (vulkan_device *)shared;
    bool has_kernels = number == CMD_STEPS;
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
        .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT
            | (has_kernels ? VK_ACCESS_SHADER_WRITE_BIT : 0),
        .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT
            | VK_ACCESS_HOST_READ_BIT
            | (has_kernels ? VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT : 0)};
    VkPipelineStageFlags stages = VK_PIPELINE_STAGE_TRANSFER_BIT
        | (has_kernels ? VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT : 0);
    device->vkCmdPipelineBarrier(
        record(&device->queues[number]), stages, stages | VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
        &barrier, 0, NULL, 0, NULL);
}

void vulkan_copy(
    cmd_device *shared, cmd_queue number, const cmd_memory *from, uint64_t from_offset,
    const cmd_memory *to, uint64_t to_offset, uint64_t size) {
    vulkan_device *device = (vulkan_device *)shared;
    VkBufferCopy region = {.srcOffset = from_offset, .dstOffset = to_offset, .size = size};
    device->vkCmdCopyBuffer(
        record(&device->queues[number]), (VkBuffer)from->buffer, (VkBuffer)to->buffer, 1, &region);
}

void vulkan_fill(
    cmd_device *shared, const cmd_memory *memory, uint64_t offset, uint64_t size, uint32_t word) {
    vulkan_device *device = (vulkan_device *)shared;
    device->vkCmdFillBuffer(
        record(&device->queues[CMD_STEPS]), (VkBuffer)memory->buffer, offset, size, word);
}

uint64_t vulkan_submit(cmd_device *shared, cmd_queue number, cmd_error *error) {
    vulkan_device *device = (vulkan_device *)shared;
    vulkan_queue *queue = &device->queues[number];
    vulkan_queue *other = &device->queues[number == CMD_STEPS ? CMD_COPIES : CMD_STEPS];
    VkCommandBuffer commands = record(queue);
    if (!TRY(device, vkEndCommandBuffer, error, commands)) return 0;
    VkCommandBufferSubmitInfo buffer = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO, .commandBuffer = commands};
    VkSemaphoreSubmitInfo signal = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO, .semaphore = queue->timeline,
        .value = queue->submitted + 1, .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
    // Reached already: nothing waits, but what the other queue wrote is seen.
    VkSemaphoreSubmitInfo wait = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO, .semaphore = other->timeline,
        .value = atomic_load(&other->done), .stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT};
    VkSubmitInfo2 info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2, .waitSemaphoreInfoCount = wait.value > 0 ? 1 : 0,
        .pWaitSemaphoreInfos = &wait, .commandBufferInfoCount = 1, .pCommandBufferInfos = &buffer,
        .signalSemaphoreInfoCount = 1, .pSignalSemaphoreInfos = &signal};
    pthread_mutex_lock(&device->submitting);
    bool is_submitted =
        TRY(device, vkQueueSubmit2, error, queue->handle, 1, &info, VK_NULL_HANDLE);
    pthread_mutex_unlock(&device->submitting);
    return is_submitted ? atomic_fetch_add(&queue->submitted, 1) + 1 : 0;
}

void vulkan_wait_for_all(vulkan_device *device) {
    const uint64_t minute = 60000000000;
    uint64_t submitted[] = {
        atomic_load(&device->queues[CMD_STEPS].submitted),
        atomic_load(&device->queues[CMD_COPIES].submitted)};
    VkSemaphore timelines[] = {
        device->queues[CMD_STEPS].timeline, device->queues[CMD_COPIES].timeline};
    VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO, .semaphoreCount = 2,
        .pSemaphores = timelines, .pValues = submitted};
    device->vkWaitSemaphores(device->handle, &info, minute);
}

bool vulkan_wait(
    cmd_device *shared, cmd_queue number, uint64_t work, uint64_t nanoseconds, cmd_error *error) {
    vulkan_device *device = (vulkan_device *)shared;
    vulkan_queue *queue = &device->queues[number];
    if (atomic_load(&queue->done) >= work) return true;
    VkSemaphoreWaitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO, .semaphoreCount = 1,
        .pSemaphores = &queue->timeline, .pValues = &work};
    if (!TRY(device, vkWaitSemaphores, error, device->handle, &info, nanoseconds)) return false;
    atomic_store(&queue->done, work);
    return true;
}
