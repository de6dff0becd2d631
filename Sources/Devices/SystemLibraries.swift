internal import CMartletDevices

/// What a program that is linked statically has to do without.
package enum SystemLibraries {
    /// Keeps such a program from loading any, which would end it where the system's C library is not the one that it was
    /// linked with. It then looks up names of hosts in files and DNS alone. Other programs stay as they are.
    ///
    /// Call it before anything else.
    package static func avoidIfStatic() { cmd_avoid_libraries() }
}
