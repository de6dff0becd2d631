/// A place on the Hugging Face Hub: a repository at a revision, and a folder or file in it.
package struct HubLocation: Hashable, Sendable, CustomStringConvertible {
    package let owner: String
    package let name: String
    /// A branch, a tag or a commit.
    package let revision: String
    /// Components of the path in the repository; none for its top.
    let components: [String]

    /// What a model is called that comes from here.
    package var repository: String { "\(owner)/\(name)" }

    /// The file that is named, when it is a GGUF file.
    package var ggufName: String? {
        components.last.flatMap { $0.hasSuffix(".gguf") ? $0 : nil }
    }

    /// Reads `OWNER/NAME[/FILE][@REVISION]`, with `hf:` before it or not; nil for what is none.
    package static func base(_ text: String) -> HubLocation? {
        let place = text.hasPrefix("hf:") ? text.dropFirst(3) : text[...]
        return try? HubLocation(place)
    }

    /// Reads what follows `hf:`: `owner/name`, `owner/name@revision`, `owner/name/folder@revision`.
    init(_ text: Substring) throws(SourceError) {
        func refused(_ reason: String) -> SourceError {
            SourceError(
                .malformedSource,
                "\"hf:\(text)\" is no source on the Hub: \(reason). Write hf:OWNER/NAME or "
                    + "hf:OWNER/NAME@REVISION.")
        }
        let place = text.prefix { $0 != "@" }
        revision =
            place.endIndex < text.endIndex ? String(text[place.endIndex...].dropFirst()) : "main"
        guard let parts = PlainText.components(place), parts.count >= 2 else {
            throw refused("it needs an owner and a name without spaces or odd characters")
        }
        (owner, name) = (parts[0], parts[1])
        components = Array(parts.dropFirst(2))
        guard HubLocation.isName(owner), HubLocation.isName(name) else {
            throw refused(
                "owner and name have letters, digits, -, _ and . only, at most 96, no -- and no ..")
        }
        guard HubLocation.isRevision(revision) else {
            throw refused("a revision has letters, digits, -, _, ., + and / only")
        }
    }

    /// The path in the repository: a folder, or a file whose name ends in `.gguf`.
    var path: String { components.joined(separator: "/") }

    package var description: String {
        let place = ([owner, name] + components).joined(separator: "/")
        return "hf:" + place + (revision == "main" ? "" : "@" + revision)
    }

    /// The Hub's own rule for names.
    private static func isName(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, text.utf8.count <= 96 else {
            return false
        }
        let isSafe = text.utf8.allSatisfy { byte in
            PlainText.isUnreserved(byte) && byte != UInt8(ascii: "~")
        }
        return isSafe && !"-.".utf8.contains(first) && !"-.".utf8.contains(last)
            && !text.contains("--") && !text.contains("..") && !text.hasSuffix(".git")
    }

    /// Names of branches and tags as Git allows them, without the rarer marks.
    private static func isRevision(_ text: String) -> Bool {
        guard let components = PlainText.components(text[...]), !components.isEmpty,
            text.utf8.count <= 200
        else { return false }
        return components.allSatisfy { component in
            !component.hasPrefix(".") && !component.contains("..")
                && component.utf8.allSatisfy { byte in
                    (PlainText.isUnreserved(byte) && byte != UInt8(ascii: "~"))
                        || byte == UInt8(ascii: "+")
                }
        }
    }
}
