#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vulkan.h"

// MARK: Errors

bool vulkan_succeeded(VkResult result, const char *call, cmd_error *error) {
    if (result == VK_SUCCESS) return true;
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: error->status = CMD_OUT_OF_MEMORY; break;
    case VK_ERROR_DEVICE_LOST: error->status = CMD_DEVICE_LOST; break;
    case VK_TIMEOUT: error->status = CMD_TIMED_OUT; break;
    default: error->status = CMD_FAILED; break;
    }
    snprintf(error->text, sizeof error->text, "%s gave VkResult %d", call, (int)result);
    return false;
}

// MARK: Instances

void vulkan_close_instance(instance *own) {
    if (own->handle != NULL) own->vkDestroyInstance(own->handle, NULL);
    if (own->library != NULL) dlclose(own->library);
    memset(own, 0, sizeof *own);
}

bool vulkan_open_instance(instance *own, cmd_error *error) {
    memset(own, 0, sizeof *own);
    own->library = cmd_open_library("libvulkan.so.1", error);
    if (own->library == NULL) return false;
    own->find = (PFN_vkGetInstanceProcAddr)dlsym(own->library, "vkGetInstanceProcAddr");
    PFN_vkCreateInstance create = own->find == NULL
        ? NULL : (PFN_vkCreateInstance)own->find(NULL, "vkCreateInstance");
    if (create == NULL) {
        vulkan_close_instance(own);
        return cmd_fail(error, CMD_NO_DRIVER, "libvulkan.so.1 is not a Vulkan loader");
    }
    VkApplicationInfo application = {
        .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pApplicationName = "martlet",
        .apiVersion = 1u << 22 | 3u << 12};
    VkInstanceCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    struct { PFN_vkCreateInstance vkCreateInstance; } table = {create};
    if (!TRY(&table, vkCreateInstance, error, &info, NULL, &own->handle)) {
        own->handle = NULL;
        vulkan_close_instance(own);
        if (error->status == CMD_FAILED) error->status = CMD_NO_DRIVER;
        return false;
    }
#define FIND(name) \
    own->name = (PFN_##name)own->find(own->handle, #name); \
    if (own->name == NULL) { \
        if (own->vkDestroyInstance != NULL) own->vkDestroyInstance(own->handle, NULL); \
        own->handle = NULL; \
        vulkan_close_instance(own); \
        return cmd_fail(error, CMD_NO_DRIVER, "the Vulkan driver has no " #name); \
    }
    INSTANCE_CALLS(FIND)
#undef FIND
    return true;
}

VkPhysicalDevice *vulkan_physical_devices(instance *own, uint32_t *count, cmd_error *error) {
    *count = 0;
    if (!TRY(own, vkEnumeratePhysicalDevices, error, own->handle, count, NULL)) return NULL;
    if (*count == 0) {
        cmd_fail(error, CMD_NO_DRIVER, "no Vulkan driver found a device");
        return NULL;
    }
    VkPhysicalDevice *devices = calloc(*count, sizeof *devices);
    if (devices == NULL) {
        cmd_fail(error, CMD_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    if (TRY(own, vkEnumeratePhysicalDevices, error, own->handle, count, devices)) return devices;
    free(devices);
    return NULL;
}

bool vulkan_has_extension(instance *own, VkPhysicalDevice device, const char *name) {
    uint32_t count = 0;
    cmd_error ignored;
    if (!TRY(own, vkEnumerateDeviceExtensionProperties, &ignored, device, NULL, &count, NULL))
        return false;
    VkExtensionProperties *found = calloc(count > 0 ? count : 1, sizeof *found);
    bool has = false;
    if (found != NULL
        && own->vkEnumerateDeviceExtensionProperties(device, NULL, &count, found) == VK_SUCCESS)
        for (uint32_t i = 0; i < count; i++) has |= strcmp(found[i].extensionName, name) == 0;
    free(found);
    return has;
}

uint32_t vulkan_queue_family(
    instance *own, VkPhysicalDevice device, VkQueueFlags wanted, VkQueueFlags unwanted) {
    VkQueueFamilyProperties families[16];
    uint32_t count = 16;
    own->vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families);
    for (uint32_t i = 0; i < count; i++) {
        VkQueueFlags flags = families[i].queueFlags;
        if ((flags & wanted) == wanted && (flags & unwanted) == 0 && families[i].queueCount > 0)
            return i;
    }
    return UINT32_MAX;
}

uint32_t vulkan_memory_type(
    const VkPhysicalDeviceMemoryProperties *memory, VkMemoryPropertyFlags wanted, uint32_t allowed) {
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++)
        if ((allowed >> i & 1) != 0
            && (memory->memoryTypes[i].propertyFlags & wanted) == wanted) return i;
    return UINT32_MAX;
}

/// Which of the kernels' matrix instructions a device has.
static void find_tiles(instance *own, VkPhysicalDevice device, cmd_description *out) {
    // The function may be there where the extension is not, and must not be called then.
    if (!vulkan_has_extension(own, device, "VK_KHR_cooperative_matrix")) return;
    bool has_bfloat16 = vulkan_has_extension(own, device, "VK_KHR_shader_bfloat16");
    bfloat16_features bfloat16 = {.sType = (VkStructureType)CMD_BFLOAT16_FEATURES};
    matrix_features matrices = {
        .sType = (VkStructureType)CMD_MATRIX_FEATURES, .pNext = has_bfloat16 ? &bfloat16 : NULL};
    VkPhysicalDeviceVulkan12Features v12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &matrices};
    VkPhysicalDeviceVulkan13Features v13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES, .pNext = &v12};
    VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v13};
    own->vkGetPhysicalDeviceFeatures2(device, &features);
    VkPhysicalDeviceVulkan13Properties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &sizes};
    own->vkGetPhysicalDeviceProperties2(device, &properties);
    if (!matrices.matrices || !v12.vulkanMemoryModel || !v12.vulkanMemoryModelDeviceScope
        || !v13.maintenance4 || !v13.subgroupSizeControl || !v13.computeFullSubgroups
        || (sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) == 0)
        return;
    matrix_properties found[64];
    for (size_t i = 0; i < 64; i++)
        found[i] = (matrix_properties){.sType = (VkStructureType)CMD_MATRIX_PROPERTIES};
    uint32_t count = 64;
    list_matrices list = (list_matrices)own->find(
        own->handle, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR");
    if (list == NULL) return;
    VkResult result = list(device, &count, found);
    if (result != VK_SUCCESS && result != VK_INCOMPLETE) return;
    for (uint32_t i = 0; i < count; i++) {
        const matrix_properties *one = &found[i];
        if (one->scope != CMD_SCOPE_SUBGROUP || one->rows != one->columns || one->rows != one->depth
            || one->a != one->b || one->c != CMD_COMPONENT_FLOAT
            || one->result != CMD_COMPONENT_FLOAT || one->saturates)
            continue;
        out->has_half_tiles |=
            one->rows == 8 && one->a == CMD_COMPONENT_HALF && v12.shaderFloat16;
        out->has_bf16_tiles |= one->rows == 16 && one->a == CMD_COMPONENT_BFLOAT16
            && bfloat16.type && bfloat16.matrices;
    }
}

/// What kernels need, and whether a device has it.
static const char *refusal(instance *own, VkPhysicalDevice device, uint32_t version) {
    if (version < (1u << 22 | 3u << 12)) return "its driver is older than Vulkan 1.3";
    VkPhysicalDeviceVulkan13Features v13 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES};
    VkPhysicalDeviceVulkan12Features v12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &v13};
    VkPhysicalDeviceVulkan11Features v11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &v12};
    VkPhysicalDeviceFeatures2 features = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &v11};
    own->vkGetPhysicalDeviceFeatures2(device, &features);
    if (!v12.bufferDeviceAddress) return "it has no buffer device addresses";
    if (!v12.timelineSemaphore) return "it has no timeline semaphores";
    if (!v13.synchronization2) return "it has no synchronization2";
    if (!v13.maintenance4) return "it has no maintenance4";
    if (!features.features.shaderInt64) return "its kernels have no 64-bit integers";
    if (!features.features.shaderInt16 || !v11.storageBuffer16BitAccess)
        return "its kernels cannot store 16 bits";
    if (vulkan_queue_family(own, device, VK_QUEUE_COMPUTE_BIT, 0) == UINT32_MAX)
        return "it has no queue for kernels";
    return "";
}

void vulkan_describe(instance *own, VkPhysicalDevice device, cmd_description *out) {
    memset(out, 0, sizeof *out);
    bool tells_budget = vulkan_has_extension(own, device, "VK_EXT_memory_budget");
    VkPhysicalDeviceVulkan11Properties v11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES, .pNext = &v11};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &driver};
    own->vkGetPhysicalDeviceProperties2(device, &properties);
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
        .pNext = tells_budget ? &budget : NULL};
    own->vkGetPhysicalDeviceMemoryProperties2(device, &memory);
    uint32_t version = properties.properties.apiVersion;
    snprintf(out->name, sizeof out->name, "%s", properties.properties.deviceName);
    snprintf(
        out->driver, sizeof out->driver, "%s %s", driver.driverName, driver.driverInfo);
    out->version_major = version >> 22 & 127;
    out->version_minor = version >> 12 & 1023;
    out->is_software = properties.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    out->has_copy_queue = vulkan_queue_family(
        own, device, VK_QUEUE_TRANSFER_BIT, VK_QUEUE_COMPUTE_BIT | VK_QUEUE_GRAPHICS_BIT) != UINT32_MAX;
    uint32_t type = vulkan_memory_type(
        &memory.memoryProperties, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, UINT32_MAX);
    if (type != UINT32_MAX) {
        uint32_t heap = memory.memoryProperties.memoryTypes[type].heapIndex;
        out->memory = memory.memoryProperties.memoryHeaps[heap].size;
        out->tells_free_memory = tells_budget;
        if (tells_budget && budget.heapBudget[heap] > budget.heapUsage[heap])
            out->free_memory = budget.heapBudget[heap] - budget.heapUsage[heap];
    }
    out->shares_memory = properties.properties.deviceType != VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    out->largest_allocation = v11.maxMemoryAllocationSize;
    out->subgroup = v11.subgroupSize;
    const char *why = type == UINT32_MAX ? "it has no memory of its own" : refusal(own, device, version);
    snprintf(out->refusal, sizeof out->refusal, "%s", why);
    find_tiles(own, device, out);
}

size_t vulkan_list(cmd_description *descriptions, size_t capacity, cmd_error *error) {
    instance own;
    uint32_t count = 0;
    if (!vulkan_open_instance(&own, error)) return 0;
    VkPhysicalDevice *devices = vulkan_physical_devices(&own, &count, error);
    for (uint32_t i = 0; devices != NULL && i < count && i < capacity; i++)
        vulkan_describe(&own, devices[i], &descriptions[i]);
    if (devices == NULL) count = 0;
    free(devices);
    vulkan_close_instance(&own);
    return count;
}
