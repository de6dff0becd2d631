internal import JSONTree

/// A token that is looked for in a text before anything else, as `added_tokens` of a `tokenizer.json` describes it.
package struct AddedToken: Sendable, Equatable {
    package var id: Int
    package var content: String
    /// Not shown when special tokens are skipped.
    package var isSpecial = false
    /// Matches only where no word character adjoins.
    package var isSingleWord = false
    /// Takes the white space before it, or after it.
    package var stripsLeft = false
    package var stripsRight = false
    /// Looked for in normalized text.
    package var isNormalized = false

    static let mostBytes = 256
    private static let idLimit = 1 << 22

    /// - Parameter id: where the description does not say it.
    /// - Returns: nil when it is none.
    init?(_ json: JSON, id: Int? = nil) {
        guard let id = id ?? json["id"]?.integerValue, (0..<Self.idLimit).contains(id),
            let content = json["content"]?.stringValue, !content.isEmpty,
            content.utf8.count <= Self.mostBytes
        else { return nil }
        self.id = id
        self.content = content
        isSpecial = json["special"]?.boolValue ?? false
        isSingleWord = json["single_word"]?.boolValue ?? false
        stripsLeft = json["lstrip"]?.boolValue ?? false
        stripsRight = json["rstrip"]?.boolValue ?? false
        isNormalized = json["normalized"]?.boolValue ?? !isSpecial
    }

    /// In the form of a `tokenizer.json`, without what goes without saying.
    var json: JSON {
        var json = JSON.Object([("id", .integer(id)), ("content", .string(content))])
        if isSpecial { json["special"] = true }
        if isSingleWord { json["single_word"] = true }
        if stripsLeft { json["lstrip"] = true }
        if stripsRight { json["rstrip"] = true }
        if isNormalized == isSpecial { json["normalized"] = .bool(isNormalized) }
        return .object(json)
    }
}
