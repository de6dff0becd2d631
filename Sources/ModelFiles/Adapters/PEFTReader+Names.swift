internal import Tensors

/// Which tensor of an adapter's file is what.
extension PEFTReader {
    static func places(
        of tensors: [String: StoredTensor], base: ModelConfiguration,
        parameters: ExpertParameters, folder: String
    ) throws(ModelFileError) -> [Place: StoredTensor] {
        var places: [Place: StoredTensor] = [:]
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            if name.hasPrefix(prefix),
                let parts = try parameters.parts(
                    of: tensor, named: String(name.dropFirst(prefix.count)), source: folder)
            {
                for part in parts {
                    let place = Place.part(part.target, part.isA ? .a : .b)
                    guard places.updateValue(part.tensor, forKey: place) == nil else {
                        throw unexpected(tensor, folder, base)
                    }
                }
                continue
            }
            if name == prefix + "score.weight" {
                places[.scores] = tensor
                continue
            }
            let found = self.places(of: name, base: base)
            guard !found.isEmpty else { throw unexpected(tensor, folder, base) }
            let parts = try found.map(\.part).split(tensor, source: folder)
            for (place, part) in zip(found, parts) {
                guard places.updateValue(part.tensor, forKey: place.place) == nil else {
                    throw unexpected(tensor, folder, base)
                }
            }
        }
        return places
    }

    static func unexpected(
        _ tensor: StoredTensor, _ folder: String, _ base: ModelConfiguration
    ) -> ModelFileError {
        let parts = tensor.name.split(separator: ".")
        if let place = parts.firstIndex(of: "layers"), place + 1 < parts.count,
            let layer = Int(parts[place + 1]), layer >= base.layerCount
        {
            return ModelFileError(
                .unexpectedTensor,
                "\(folder): it changes layer \(layer), and this base has the layers 0 to \(base.layerCount - 1): it was trained on a larger model (tensor \(tensor.name))"
            )
        }
        return ModelFileError(
            .unexpectedTensor,
            "\(folder): the configuration does not call for tensor \(tensor.name), or this base has no place for it"
        )
    }

    private static let prefix = "base_model.model."

    /// What PEFT writes of tables beside what it reads, once the vocabulary has grown.
    private static let tableCopies: [(String, TableCopy)] = [
        (".modules_to_save.weight", .ofSaved), (".original_module.weight", .withoutUse),
        (".token_adapter.base_layer.weight", .ofBase),
    ]

    /// Several for a module that is several projections.
    static func places(
        of name: String, base: ModelConfiguration
    ) -> [(place: Place, part: TensorPart)] {
        guard name.hasPrefix(prefix) else { return [] }
        let name = String(name.dropFirst(prefix.count))
        let own = base.parts(named: name)
        if !own.isEmpty { return own.map { (.own($0.role), $0) } }
        for (suffix, kind) in tableCopies where name.hasSuffix(suffix) {
            return base.parts(named: name.dropLast(suffix.count) + ".weight")
                .filter { $0.role == .embedding || $0.role == .head }
                .map { (.copy($0.role, kind), $0) }
        }
        for part in [".weight", ".bias"] where name.hasSuffix(".base_layer\(part)") {
            let outer = name.dropLast(".base_layer\(part)".count) + part
            return base.parts(named: String(outer)).map { (.underneath($0.role), $0) }
        }
        let suffixes: [(String, Part?)] = [
            (".lora_A.weight", .a), (".lora_B.weight", .b), (".lora_B.bias", .bias),
            (".lora_embedding_A", .a), (".lora_embedding_B", .b),
            (".lora_magnitude_vector", .magnitude), (".token_adapter.trainable_tokens_delta", nil),
        ]
        guard let (suffix, part) = suffixes.first(where: { name.hasSuffix($0.0) }) else {
            return []
        }
        let isOfEmbedding = suffix.hasPrefix(".lora_embedding")
        var places: [(Place, TensorPart)] = []
        for whole in base.parts(named: name.dropLast(suffix.count) + ".weight") {
            guard let target = AdapterFile.Target(whole.role) else { return [] }
            guard let part else {
                guard target == .embedding || target == .head else { return [] }
                places.append((.tokenRows(target), whole))
                continue
            }
            guard part == .magnitude || isOfEmbedding == (target == .embedding) else { return [] }
            // All of a module's projections read the same A.
            places.append(
                (.part(target, part), part == .a ? TensorPart(whole.role) : whole))
        }
        return places
    }
}
