internal import Tensors

/// Weights of a layer with experts as transformers 5 stacks them, which PEFT's `target_parameters` names.
enum ExpertParameter: CaseIterable {
    case gateAndUp, down, router

    /// Its name in any model that has it.
    func name(layer: Int) -> String {
        switch self {
        case .gateAndUp: "model.layers.\(layer).mlp.experts.gate_up_proj"
        case .down: "model.layers.\(layer).mlp.experts.down_proj"
        case .router: "model.layers.\(layer).mlp.gate.weight"
        }
    }

    /// PEFT takes whole names and their ends after a dot.
    func isMeant(by text: String, layer: Int) -> Bool { name(layer: layer).hasLastPart(text) }

    fileprivate var projections: [Projection] {
        switch self {
        case .gateAndUp: [.gate, .up]
        case .down: [.down]
        case .router: []
        }
    }
}

/// The layers' parameters that an adapter changes as wholes: A of all experts one below the other, the columns of B in turn.
struct ExpertParameters {
    private let base: ModelConfiguration
    /// By layer.
    private let changed: [Int: Set<ExpertParameter>]

    init(_ configuration: PEFTConfiguration, base: ModelConfiguration) {
        self.base = base
        var changed: [Int: Set<ExpertParameter>] = [:]
        for layer in base.layers where base.hasExperts(layer: layer) {
            let own = ExpertParameter.allCases.filter { parameter in
                configuration.parameters.contains { parameter.isMeant(by: $0, layer: layer) }
            }
            if !own.isEmpty { changed[layer] = Set(own) }
        }
        self.changed = changed
    }

    private func changes(_ parameter: ExpertParameter, layer: Int) -> Bool {
        changed[layer]?.contains(parameter) ?? false
    }

    /// The parameter that a target is a part of; nil for one that is changed by itself, or not at all.
    func name(of target: AdapterFile.Target) -> String? {
        let (layer, parameter): (Int, ExpertParameter)
        switch target {
        case .router(let own): (layer, parameter) = (own, .router)
        case .expert(let own, _, let projection):
            (layer, parameter) = (own, projection == .down ? .down : .gateAndUp)
        default: return nil
        }
        return changes(parameter, layer: layer) ? parameter.name(layer: layer) : nil
    }

    var targets: [AdapterFile.Target] {
        AdapterFile.Target.all(for: base).filter { $0.isOfExperts && name(of: $0) != nil }
    }

    /// What a tensor of an adapter is to each expert.
    ///
    /// - Parameter name: without PEFT's prefix.
    /// - Returns: nil for one of something else.
    /// - Throws: `ModelFileError` with `wrong_shape`.
    func parts(
        of tensor: StoredTensor, named name: String, source: String
    ) throws(ModelFileError) -> [(target: AdapterFile.Target, isA: Bool, tensor: StoredTensor)]? {
        guard let experts = base.departures.experts else { return nil }
        for layer in changed.keys {
            let module = "model.layers.\(layer).mlp."
            guard name.hasPrefix(module) else { continue }
            for isA in [true, false] {
                let suffix = isA ? ".lora_A.weight" : ".lora_B.weight"
                let parameter: ExpertParameter
                switch name.dropFirst(module.count) {
                case "gate" + suffix where changes(.router, layer: layer):
                    return [(.router(layer: layer), isA, tensor)]
                // The one that is wrapped first is inside the other.
                case "experts.base_layer" + suffix
                where changes(.gateAndUp, layer: layer) && changes(.down, layer: layer):
                    parameter = .gateAndUp
                case "experts" + suffix where changes(.down, layer: layer): parameter = .down
                case "experts" + suffix where changes(.gateAndUp, layer: layer):
                    parameter = .gateAndUp
                default: continue
                }
                guard
                    let parts = isA
                        ? rows(of: tensor, parameter, layer, experts)
                        : columns(of: tensor, parameter, layer, experts)
                else {
                    throw ModelFileError(
                        .wrongShape,
                        "\(source): tensor \(tensor.name) has shape \(tensor.shape), which does not part into \(experts.count) experts"
                    )
                }
                return parts.map { ($0.0, isA, $0.1) }
            }
        }
        return nil
    }

    private func rows(
        of tensor: StoredTensor, _ parameter: ExpertParameter, _ layer: Int,
        _ experts: Departures.Experts
    ) -> [(AdapterFile.Target, StoredTensor)]? {
        guard tensor.shape.count == 2, tensor.shape[0] > 0,
            tensor.shape[0] % experts.count == 0
        else { return nil }
        let rank = tensor.shape[0] / experts.count
        var parts: [(AdapterFile.Target, StoredTensor)] = []
        for expert in 0..<experts.count {
            guard let own = tensor.rows(expert * rank..<(expert + 1) * rank) else { return nil }
            for projection in parameter.projections {
                parts.append((.expert(layer: layer, expert, projection), own))
            }
        }
        return parts
    }

    private func columns(
        of tensor: StoredTensor, _ parameter: ExpertParameter, _ layer: Int,
        _ experts: Departures.Experts
    ) -> [(AdapterFile.Target, StoredTensor)]? {
        let outputs = parameter.projections.map {
            base.outputCount(of: AdapterFile.Target.expert(layer: layer, 0, $0))
        }
        guard tensor.shape.count == 2, tensor.shape[0] == outputs.reduce(0, +),
            tensor.shape[1] > 0, tensor.shape[1] % experts.count == 0
        else { return nil }
        let width = tensor.shape[1]
        var parts: [(AdapterFile.Target, StoredTensor)] = []
        for expert in 0..<experts.count {
            var first = 0
            for (projection, count) in zip(parameter.projections, outputs) {
                guard
                    let own = tensor.scattered(
                        shape: [count, width / experts.count], first: first * width + expert,
                        rowStep: width, columnStep: experts.count)
                else { return nil }
                parts.append((.expert(layer: layer, expert, projection), own))
                first += count
            }
        }
        return parts
    }
}
