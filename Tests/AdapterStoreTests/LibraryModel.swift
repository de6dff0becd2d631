import AdapterSources
import AdapterStore
import Catalog
import ModelFiles

/// What names stand for, as plainly as it can be said. Adapters are numbers here.
struct LibraryModel: Equatable {
    struct Name: Equatable {
        var source: String
        /// Nil until somebody has read the source.
        var content: Int?
        var isPinned = false
        /// Whether the source was read and is no adapter.
        var isFaulty = false
    }

    var names: [String: Name] = [:]
    /// Adapters that a library may still know: names stand for them, or did.
    var known: Set<Int> = []

    func isNamed(_ content: Int) -> Bool { names.values.contains { $0.content == content } }

    func isPinned(_ content: Int) -> Bool {
        names.values.contains { $0.content == content && $0.isPinned }
    }
}

/// What is asked of a library.
enum LibraryCall {
    /// A lease, and a completion with it.
    case request(String)
    case warm(String)
    case verify(String)
    case demote(String)
    case register(String, source: Int)
    /// - Parameter expected: what the name must stand for; nil for anything.
    case put(String, source: Int, replaces: Bool, expected: Int?)
    case point(String, content: Int, expected: Int?)
    case pin(String, Bool)
    case remove(String)

    /// Whether all it does is a change of a name.
    var changesNames: Bool {
        switch self {
        case .request, .warm, .verify, .demote: false
        case .register, .put, .point, .pin, .remove: true
        }
    }
}

/// Why a library does not do what it was asked for.
enum Refusal: Error, Equatable {
    case library(LibraryError.Code)
    /// The source could not be read.
    case source
    /// What the source holds is no adapter.
    case file
    case catalog
    case other(String)

    init(_ error: any Error) {
        if let error = error as? LibraryError {
            self = .library(error.code)
        } else if error is SourceError {
            self = .source
        } else if error is ModelFileError {
            self = .file
        } else if error is CatalogError {
            self = .catalog
        } else {
            self = .other("\(error)")
        }
    }
}

/// What a call comes to, by the model and by what lies in RAM and on the disk before it.
struct Forecast {
    var refusal: Refusal?
    /// Of `verify` and `demote`.
    var answer: Bool?
    var after: LibraryModel
    /// The adapter that must have room in RAM for it.
    var loads: Int?
    /// The adapter that a lease gives.
    var content: Int?
}
