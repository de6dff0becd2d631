internal import JSONTree

/// One part of a mix: an adapter whose change is added `scale` times.
public struct ScaledAdapter: Sendable, Equatable {
    public var name: String
    public var scale: Double

    public init(name: String, scale: Double) {
        self.name = name
        self.scale = scale
    }

    static let limit = 16
    static let scaleLimit = 1000.0

    /// `adapters: [{"name": …, "scale": …}]`, or llama.cpp's `lora: [{"id": …, "scale": …}]`, whose ids are names here.
    ///
    /// - Returns: nil when the request names no mix.
    static func read(_ parameters: inout Parameters) throws(APIError) -> [ScaledAdapter]? {
        let (own, llama) = (parameters.json("adapters"), parameters.json("lora"))
        guard own == nil || llama == nil else {
            throw .invalid("lora", "lora and adapters say the same thing: send one.")
        }
        guard let json = own ?? llama else { return nil }
        let path = own == nil ? "lora" : "adapters"
        guard let elements = json.arrayValue, elements.count <= limit else {
            throw .invalid(path, "\(path) must be a list of at most \(limit) adapters.")
        }
        var parts: [ScaledAdapter] = []
        for (index, element) in elements.enumerated() {
            let part = try part(element, "\(path)[\(index)]")
            guard !parts.contains(where: { $0.name == part.name }) else {
                throw .invalid(
                    "\(path)[\(index)]", "\(path)[\(index)] names \(part.name) a second time.")
            }
            parts.append(part)
        }
        return parts
    }

    private static func part(_ json: JSON, _ path: String) throws(APIError) -> ScaledAdapter {
        var inner = try Parameters(json, path: path)
        if inner.json("id")?.integerValue != nil {
            throw .invalid(
                "\(path).id",
                "Adapters have names here and no numbers: write the adapter's name in \(path).id.")
        }
        let (name, id) = (try inner.string("name"), try inner.string("id"))
        let scale = try inner.number("scale", in: -scaleLimit...scaleLimit) ?? 1
        try inner.finish()
        guard let name = name ?? id, !name.isEmpty, name.utf8.count <= 2048,
            id == nil || id == name
        else { throw .invalid("\(path).name", "\(path).name must be an adapter's name.") }
        return ScaledAdapter(name: name, scale: scale)
    }
}
