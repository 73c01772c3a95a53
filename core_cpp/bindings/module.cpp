#include "bindings.hpp"
#include "phylo/cpu_dispatch.hpp"

PYBIND11_MODULE(_core, module) {
    using namespace phylo::bindings;
    module.doc() = "The compiled core of pyphylo: allele tables and their similarity.";
    module.attr("__version__") = PYPHYLO_VERSION;
    module.def("detected_instruction_sets", &phylo::detected_instruction_sets);
    module.def("kernel_instruction_set", &phylo::kernel_instruction_set);
    register_errors();
    register_allele_table(module);
    register_similarity(module);  // and what the signatures of others name
    register_f_statistics(module);
    register_gene_products(module);
    register_indices(module);
    register_table_builder(module);
    register_self_terms(module);
    register_joined_rows(module);
    register_placement(module);
    register_resampling(module);
}
