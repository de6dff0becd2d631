import AdapterSources
import Foundation
import Synchronization
import TestSupport

/// Folders on a server of files, each with an adapter and with what is wrong with it.
final class RemoteShelf: Sendable {
    enum Fault: Sendable {
        case none
        /// The next request is turned away, the one after it is not.
        case busyOnce
        case failing
        /// The weights end too early, in every answer.
        case cutOff
        /// Other weights come than those that were announced.
        case changing
        /// The weights wait until the gate opens.
        case slow(Gate)
    }

    fileprivate struct Folder {
        var files: [String: [UInt8]] = [:]
        var version = 0
        var fault = Fault.none
    }

    fileprivate struct State {
        var folders: [String: Folder] = [:]
        var slowCount = 0
    }

    private let state = Mutex(State())
    private let open = Gate()

    init() { open.open() }

    /// Answers that have been held up so far.
    var slowCount: Int { state.withLock { $0.slowCount } }

    /// - Parameter files: none for a folder that does not exist.
    func put(_ files: [String: [UInt8]], in name: String) {
        state.withLock { state in
            state.folders[name, default: Folder()].files = files
            state.folders[name, default: Folder()].version += 1
        }
    }

    func setFault(_ fault: Fault, of name: String) {
        state.withLock { $0.folders[name, default: Folder()].fault = fault }
    }

    func reply(to request: ScriptedServer.Request) -> ScriptedReply {
        let parts = request.path.split(separator: "/").map(String.init)
        guard parts.count == 2 else { return ScriptedReply(status: 404) }
        return state.withLock { $0.reply(to: request, name: parts[0], file: parts[1], open) }
    }

    /// A client for which `files.test` is this machine, and that tries again once, at once.
    static func client() throws -> SourceClient {
        var policy = SourcePolicy()
        policy.allowsPlainHTTP = true
        policy.allowedHosts = [try HostPattern("files.test")]
        policy.localHosts = [try HostPattern("files.test")]
        policy.retries.limit = 1
        return try SourceClient(
            policy: policy,
            surroundings: Surroundings(
                resolve: { _, _ in [NetworkAddress("127.0.0.1")].compactMap { $0 } },
                sleep: { _ in }, date: { Date(timeIntervalSince1970: 1_369_353_600) },
                jitter: { 0.5 }))
    }
}

extension RemoteShelf.State {
    fileprivate mutating func reply(
        to request: ScriptedServer.Request, name: String, file: String, _ open: Gate
    ) -> ScriptedReply {
        guard let folder = folders[name], let bytes = folder.files[file] else {
            return ScriptedReply(status: 404)
        }
        let reply = ScriptedReply.file(bytes, tag: "\"\(folder.version)\"", to: request)
        let isWeights = request.method == "GET" && file == TinyAdapter.weightsName
        switch folder.fault {
        case .none: return reply
        case .busyOnce:
            folders[name]?.fault = .none
            return ScriptedReply(status: 503)
        case .failing: return ScriptedReply(status: 503)
        case .cutOff: return isWeights ? reply.cut(open) : reply
        case .changing:
            return isWeights
                ? .file(bytes.reversed(), tag: "\"another\"", to: request) : reply
        case .slow(let gate):
            guard isWeights else { return reply }
            slowCount += 1
            var held = reply
            held.ending = .heldUp(gate)
            return held
        }
    }
}

extension ScriptedReply {
    /// Half of it, and then nothing.
    fileprivate func cut(_ open: Gate) -> ScriptedReply {
        var reply = self
        reply.body = Array(body.prefix(body.count / 2))
        reply.ending = .cutOff(open)
        return reply
    }
}
