internal import Tensors

/// Typed reading of a GGUF file's metadata of its architecture, with errors that name them.
struct GGUFFields {
    let file: GGUFFile
    let architecture: String

    func has(_ name: String) -> Bool { file.metadata["\(architecture).\(name)"] != nil }

    func value<Value>(
        _ name: String, _ read: (GGUFValue) -> Value?, default fallback: Value? = nil
    ) throws(ModelFileError) -> Value {
        let key = "\(architecture).\(name)"
        if let value = file.metadata[key] {
            if let value = read(value) { return value }
            throw ModelFileError(.invalidField, "\(file.path): \(key) has the wrong type")
        }
        if let fallback { return fallback }
        throw ModelFileError(.invalidField, "\(file.path): \(key) is missing")
    }

    func integer(_ name: String, default fallback: Int? = nil) throws(ModelFileError) -> Int {
        try value(name, \.integer, default: fallback)
    }

    func number(_ name: String, default fallback: Double? = nil) throws(ModelFileError) -> Double {
        try value(name, \.number, default: fallback)
    }

    /// A number above 0.
    func factor(_ name: String, default fallback: Double) throws(ModelFileError) -> Float {
        let factor = Float(try number(name, default: fallback))
        guard factor > 0, factor.isFinite else {
            throw ModelFileError(
                .invalidField, "\(file.path): \(architecture).\(name) is \(factor)")
        }
        return factor
    }

    func optionalFactor(_ name: String) throws(ModelFileError) -> Float? {
        has(name) ? try factor(name, default: 1) : nil
    }

    /// A number above 0, or 0 for none.
    func cap(_ name: String, default fallback: Double) throws(ModelFileError) -> Float {
        try number(name, default: fallback) == 0 ? 0 : try factor(name, default: fallback)
    }

    func refuseWindow() throws(ModelFileError) {
        guard try integer("attention.sliding_window", default: 0) == 0 else {
            throw ModelFileError(
                .unsupportedField, "\(file.path): \(architecture).attention.sliding_window")
        }
    }
}

extension ModelConfiguration {
    /// One window for all layers.
    mutating func readWindow(_ fields: GGUFFields) throws(ModelFileError) {
        let window = try fields.integer("attention.sliding_window", default: 0)
        guard window > 0 else { return }
        slidingWindow = window
        windowedLayers = layers.map { _ in true }
        if fields.has("attention.sliding_window_pattern") {
            throw ModelFileError(
                .unsupportedField,
                "\(fields.file.path): \(fields.architecture).attention.sliding_window_pattern")
        }
    }
}
