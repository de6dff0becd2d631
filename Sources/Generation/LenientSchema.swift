package import Grammar
package import JSONTree

/// What is left of a schema without the keywords that cannot be enforced, and which these are: for requests that say
/// `strict: false`.
package struct LenientSchema: Sendable {
    package struct Dropped: Sendable, Equatable {
        /// A JSON pointer.
        package var pointer: String
        package var keyword: String
    }

    package private(set) var schema: JSON
    package private(set) var dropped: [Dropped] = []

    private static let mostDropped = 32
    /// Of a schema, over all times that it is compiled.
    private static let mostValues = 64_000

    /// - Parameter compile: throws for what cannot be enforced.
    /// - Throws: `GrammarError` for what no keyword's absence would help.
    package init(
        _ schema: JSON, compile: (JSON) throws(GrammarError) -> Void
    ) throws(GrammarError) {
        self.schema = schema
        let most = min(Self.mostDropped, max(1, Self.mostValues / schema.valueCount))
        while true {
            do throws(GrammarError) {
                try compile(self.schema)
                return
            } catch {
                guard error.code == .unsupported, dropped.count < most,
                    let pointer = error.pointer, let keyword = error.keyword,
                    let rest = self.schema.removing(keyword, at: LenientSchema.path(pointer))
                else { throw error }
                self.schema = rest
                dropped.append(Dropped(pointer: pointer, keyword: keyword))
            }
        }
    }

    private static func path(_ pointer: String) -> ArraySlice<String> {
        pointer.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map {
            $0.split(separator: "~1", omittingEmptySubsequences: false).joined(separator: "/")
                .split(separator: "~0", omittingEmptySubsequences: false).joined(separator: "~")
        }[...]
    }
}

extension JSON {
    /// This and all that it holds.
    fileprivate var valueCount: Int {
        switch self {
        case .array(let elements): elements.reduce(1) { $0 + $1.valueCount }
        case .object(let object): object.members.reduce(1) { $0 + $1.value.valueCount }
        default: 1
        }
    }

    /// The value without a member of the object at a path; nil when there is none.
    fileprivate func removing(_ name: String, at path: ArraySlice<String>) -> JSON? {
        switch self {
        case .object(var object):
            guard let step = path.first else {
                guard object[name] != nil else { return nil }
                object[name] = nil
                return .object(object)
            }
            guard let rest = object[step]?.removing(name, at: path.dropFirst()) else { return nil }
            object[step] = rest
            return .object(object)
        case .array(var elements):
            guard let step = path.first, let index = Int(step), elements.indices.contains(index),
                let rest = elements[index].removing(name, at: path.dropFirst())
            else { return nil }
            elements[index] = rest
            return .array(elements)
        default: return nil
        }
    }
}
