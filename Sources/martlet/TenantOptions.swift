import ArgumentParser
import Catalog
import Foundation
import Logging
import Server
import Tenants

/// Who may use the server, and where it is written down.
struct TenantOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "API keys, one \"name: key\" a line; the name admin may do everything. Without keys the API is open.",
            valueName: "file"))
    var apiKeyFile: String?

    @Option(
        help: ArgumentHelp(
            "A database for keys that `martlet keys` makes and for what they use; made if it is missing. (default: none: the key file alone counts)",
            valueName: "file"))
    var tenants: String?

    @Option(
        help: ArgumentHelp(
            "A file that gets a line of JSON for each request, each refused key and each change by an operator.",
            valueName: "file"))
    var auditLog: String?

    @Option(
        help:
            "Who finds in the cache what others have computed: key, adapter (everybody who asks the same adapter) or all. (default: key)"
    )
    var prefixSharing: String?

    @Flag(help: "Show /metrics, which names models, to everybody, though there are keys.")
    var openMetrics = false

    func sharing(_ settings: Settings) throws -> PrefixSharing {
        guard let name = prefixSharing ?? settings.string("prefix-sharing") else { return .key }
        guard let sharing = PrefixSharing(rawValue: name) else {
            throw ValidationError("--prefix-sharing takes key, adapter or all.")
        }
        return sharing
    }

    /// - Parameter keyFile: nil when there is none.
    func tenancy(
        _ settings: Settings, keyFile: String?, _ logger: Logger
    ) throws -> Tenancy {
        var audit: AuditLog?
        if let path = auditLog ?? settings.string("audit-log") {
            audit = try AuditLog(path: path) { error in
                logger.error("the audit log is not written", metadata: ["error": "\(error)"])
            }
        }
        let database = tenants ?? settings.string("tenants")
        guard keyFile != nil || database != nil else { return Tenancy(audit: audit) }
        let file = try keyFile.map { try TenantOptions.keys($0) }
        let store = try database.map { try TenantStore(path: $0) }
        let keys: KeyRing
        do {
            keys = try KeyRing(file: file, store: store)
        } catch let error as APIKeysError {
            throw ValidationError("The key file \(keyFile ?? ""): \(error).")
        }
        guard keys.hasAdmin || file != nil else {
            throw ValidationError(
                "Nobody could make keys in \(database ?? ""): start with --api-key-file FILE too, a file with a line \"admin: KEY\"."
            )
        }
        return Tenancy(keys: keys, ledger: UsageLedger(store: store), audit: audit)
    }

    static func keys(_ file: String) throws -> APIKeys {
        guard FileManager.default.isReadableFile(atPath: file) else {
            throw ValidationError(
                "There is no readable key file at \(file). Write one with a line \"name: key\" for each key."
            )
        }
        do {
            return try APIKeys(text: try String(contentsOfFile: file, encoding: .utf8))
        } catch {
            throw ValidationError("The key file \(file): \(error).")
        }
    }
}
