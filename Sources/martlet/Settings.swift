import AdapterSources
import ArgumentParser
import Configuration
import Foundation
import Generation
import Yams

/// Options from the environment, then from a YAML file; the command line wins over both. Read once.
///
/// Whatever is misspelt in either is refused: an ignored `api_key_file` would open a server to everybody.
struct Settings {
    private let reader: ConfigReader

    /// Variables that are read elsewhere, or by tests.
    private static let otherVariables: Set<String> = ["URL", "ADMIN_KEY", "KERNELS"]

    /// - Parameter options: the names that the file may set. One environment may be several commands'.
    init(
        file: String?, options: Set<String> = Serve.optionNames,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        for name in environment.keys.sorted() where name.hasPrefix("MARTLET_") {
            let rest = String(name.dropFirst("MARTLET_".count))
            guard !Settings.otherVariables.contains(rest) else { continue }
            let all = options.union(Serve.optionNames).union(Route.optionNames)
            _ = try Settings.known(rest, among: all, in: "the environment variable \(name)")
        }
        var providers: [any ConfigProvider] = [
            EnvironmentVariablesProvider(environmentVariables: environment)
                .prefixKeys(with: "martlet")
        ]
        if let file { providers.append(try Settings.provider(file, options)) }
        reader = ConfigReader(providers: providers)
    }

    func string(_ name: String) -> String? { reader.string(forKey: ConfigKey([name])) }

    func integer(_ name: String) throws -> Int? {
        guard let text = string(name) else { return nil }
        guard let value = Int(text) else {
            throw ValidationError("\(name) is \"\(text)\", not an integer.")
        }
        return value
    }

    /// The command line's value, or else the one that is set.
    ///
    /// - Throws: `ValidationError` when it is not in the range.
    func integer(_ name: String, _ flag: Int?, in range: ClosedRange<Int>) throws -> Int? {
        guard let value = try flag ?? integer(name) else { return nil }
        guard range.contains(value) else {
            throw ValidationError(
                "--\(name) is \(value); it must be between \(range.lowerBound) and \(range.upperBound)."
            )
        }
        return value
    }

    func strings(_ name: String) -> [String] {
        reader.stringArray(forKey: ConfigKey([name])) ?? string(name).map { [$0] } ?? []
    }

    /// The option that a name means: as `--help` writes it, or with `_` for `-`, in any case.
    private static func known(
        _ name: String, among options: Set<String>, in place: String
    ) throws -> String {
        let option = name.lowercased().replacingOccurrences(of: "_", with: "-")
        guard !options.contains(option) else { return option }
        let near = EditDistance.nearest(to: option, among: options.sorted())
        let hint =
            near.first.map { "Did you mean \($0)?" }
            ?? "`martlet help serve` and `martlet help route` list them."
        throw ValidationError("There is no option \"\(option)\" (\(place)). \(hint)")
    }

    private static func provider(
        _ file: String, _ options: Set<String>
    ) throws -> InMemoryProvider {
        guard FileManager.default.fileExists(atPath: file) else {
            throw ValidationError("There is no configuration file at \(file).")
        }
        let root: Node?
        do {
            root = try Yams.compose(yaml: try String(contentsOfFile: file, encoding: .utf8))
        } catch {
            throw ValidationError("\(file) is not YAML: \(error)")
        }
        guard let mapping = root?.mapping else {
            throw ValidationError("\(file) must hold options, one \"name: value\" a line.")
        }
        var values: [AbsoluteConfigKey: ConfigValue] = [:]
        for (key, node) in mapping {
            let name = try known(key.string ?? "", among: options, in: file)
            let value = try content(of: node, name, file)
            guard values.updateValue(.init(value, isSecret: false), forKey: [name]) == nil else {
                throw ValidationError("\(file): \(name) is set twice.")
            }
        }
        return InMemoryProvider(values: values)
    }

    private static func content(
        of node: Node, _ name: String, _ file: String
    ) throws -> ConfigContent {
        let invalid = ValidationError("\(file): \(name) must be a value or a list of values.")
        switch node {
        case .scalar(let scalar) where !scalar.string.isEmpty: return .string(scalar.string)
        case .sequence(let sequence):
            let texts = sequence.compactMap(\.scalar?.string)
            guard texts.count == sequence.count else { throw invalid }
            return .stringArray(texts)
        case .mapping(let mapping) where name == "adapter":
            let pairs = mapping.compactMap { name, source in
                source.scalar.map { "\(name.string ?? "")=\($0.string)" }
            }
            guard pairs.count == mapping.count else { throw invalid }
            return .stringArray(pairs)
        default: throw invalid
        }
    }
}

extension ParsableCommand {
    /// The long names of its options, as its help lists them.
    static var optionNames: Set<String> {
        let words = helpMessage(columns: 200).split(separator: "\n").compactMap { line in
            line.split(separator: " ").first { $0.hasPrefix("--") && line.hasPrefix("  --") }
        }
        return Set(words.map { String($0.dropFirst(2)) }).subtracting(["help", "version", "config"])
    }
}
