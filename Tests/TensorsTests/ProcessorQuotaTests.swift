import TestSupport
import Tensors
import Testing

struct ProcessorQuotaTests {
    /// What control groups' files say: their texts by path, the process's own among them.
    @Test(
        arguments: [
            // Nothing to read, no limit, and what is no number.
            ([:], nil),
            (["self": "0::/\n", "cpu.max": "max 100000\n"], nil),
            (["self": "0::/\n", "cpu.max": "100000 0\n"], nil),
            (["self": "0::/\n", "cpu.max": "lots\n"], nil),
            // Eight processors; one and a half are one, a tenth is one too.
            (["self": "0::/\n", "cpu.max": "800000 100000\n"], 8),
            (["self": "0::/\n", "cpu.max": "150000 100000\n"], 1),
            (["self": "0::/\n", "cpu.max": "10000 100000\n"], 1),
            // A group's limit and that of the groups around it: the least.
            (
                [
                    "self": "0::/pods/one\n", "pods/one/cpu.max": "max 100000\n",
                    "pods/cpu.max": "6400000 100000\n",
                ], 64
            ),
            // The host's path in a container, which sees its own group alone.
            (["self": "0::/host/path\n", "cpu.max": "400000 100000\n"], 4),
            // Version 1.
            (
                [
                    "self": "9:name=systemd:/\n4:cpu,cpuacct:/a\n",
                    "cpu/a/cpu.cfs_quota_us": "200000\n",
                    "cpu/a/cpu.cfs_period_us": "100000\n",
                ], 2
            ),
            (
                [
                    "self": "4:cpu:/\n", "cpu/cpu.cfs_quota_us": "-1\n",
                    "cpu/cpu.cfs_period_us": "100000\n",
                ], nil
            ),
        ] as [([String: String], Int?)])
    func limitsAreRead(_ files: [String: String], _ expected: Int?) throws {
        let folder = try TemporaryFolder()
        for (path, text) in files { try folder.write(text, to: path) }
        let quota = ProcessorQuota(groups: folder.path(""), membership: folder.path("self"))
        #expect(quota.processorCount == expected)
    }
}
