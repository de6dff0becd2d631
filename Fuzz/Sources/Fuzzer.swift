import Foundation

/// Hands libFuzzer's inputs to one parser, which the environment names: `MARTLET_FUZZ_TARGET=json`.
@main
struct Fuzzer {
    static func main() {
        let name = ProcessInfo.processInfo.environment["MARTLET_FUZZ_TARGET"] ?? ""
        guard FuzzTarget(rawValue: name) != nil else {
            let names = FuzzTarget.allCases.map(\.rawValue).joined(separator: ", ")
            fatalError("MARTLET_FUZZ_TARGET must be one of \(names)")
        }
        // Before libFuzzer looks for seeds: it adds one.
        _ = parsers
        var count = CommandLine.argc
        var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? =
            unsafe CommandLine.unsafeArgv
        let status = unsafe runDriver(&count, &arguments) { start, count in
            let input = unsafe Array(UnsafeBufferPointer(start: start, count: count))
            Fuzzer.parsers.take(input, Fuzzer.target)
            return 0
        }
        exit(status)
    }

    private static let parsers = FuzzedParsers()
    private static let target =
        FuzzTarget(rawValue: ProcessInfo.processInfo.environment["MARTLET_FUZZ_TARGET"] ?? "")
        ?? .json
}

/// libFuzzer's own loop.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt
