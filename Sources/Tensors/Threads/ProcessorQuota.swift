internal import Glibc

/// How much of the machine's processors a container may use, as Linux's control groups say it.
///
/// A limit of processor time is no affinity: all processors are there, and whoever runs on more of them
/// than the limit allows is stopped for the rest of each tenth of a second, and a team with it.
package struct ProcessorQuota {
    /// The folder of control groups and the file that says which are this process's.
    private let groups: String
    private let membership: String

    package init(groups: String = "/sys/fs/cgroup", membership: String = "/proc/self/cgroup") {
        self.groups = groups
        self.membership = membership
    }

    /// Whole processors' worth of time, at least one; nil where nothing limits it.
    package var processorCount: Int? {
        var least: Double?
        for line in text(membership).split(separator: "\n") {
            // 0::/path of version 2, 4:cpu,cpuacct:/path of version 1.
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let isSecond = parts[0] == "0" && parts[1].isEmpty
            guard isSecond || parts[1].split(separator: ",").contains("cpu") else { continue }
            // Inside a container the path may be the host's; its own group is the folder then.
            var path = parts[2].split(separator: "/").map(String.init)
            while true {
                let folder = (isSecond ? [groups] : [groups, "cpu"]) + path
                if let share = share(folder.joined(separator: "/"), isSecond: isSecond) {
                    least = min(least ?? share, share)
                }
                if path.popLast() == nil { break }
            }
        }
        return least.map { max(1, Int($0)) }
    }

    /// Processors that one group allows.
    private func share(_ folder: String, isSecond: Bool) -> Double? {
        let words =
            isSecond
            ? text(folder + "/cpu.max")
            : text(folder + "/cpu.cfs_quota_us") + " " + text(folder + "/cpu.cfs_period_us")
        let numbers = words.split { $0 == " " || $0 == "\n" }.map { Double(String($0)) }
        // "max" and -1 are no limit.
        guard numbers.count == 2, let time = numbers[0], let period = numbers[1], time > 0,
            period > 0, time / period < 1_000_000
        else { return nil }
        return time / period
    }

    /// How a small file of the kernel's begins, whose size says nothing; empty where there is none.
    private func text(_ path: String) -> String {
        guard let (descriptor, _) = try? BinaryFile.openRegular(path) else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe bytes.withUnsafeMutableBytes {
            unsafe read(descriptor, $0.baseAddress, $0.count)
        }
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
    }
}
