"""The table of what each ingredient of an embedder's training brings: its variants, and what a record of it holds.

Knows nothing of how an embedder is trained.
"""

from facings.benchmark.ablation import BASE, Variant

IDENTIFIER = "emb-ingredients"
# The small embedder of docs/embedder_cost.md, less than half as long, so that eleven trainings fit into two hours of one core.
TRAINING = (
    "experiment=reid/grocery_store", "image_size=112", "transforms.size=96", "trainer.max_epochs=6",
    "trainer.check_val_every_n_epoch=6", "logger=csv",
)  # fmt: skip


VARIANTS: dict[str, Variant] = {
    one.name: one
    for one in (
        Variant(BASE, "the recipe"),
        Variant("seed_1", "the same, seed 1", seed=1),
        Variant("seed_2", "the same, seed 2", seed=2),
        Variant("no_average", "without averaged weights (EMA)", training=("callbacks.ema=null",)),
        Variant("constant_rate", "a constant rate after the warm-up", training=("scheduler.final_share=1.0",)),
        Variant("small", "trained at 64 pixels, asked at 80", training=("transforms.size=64", "image_size=80")),
        Variant("large", "trained at 128 pixels, asked at 144", training=("transforms.size=128", "image_size=144")),
        Variant("softmax_only", "without the angular margin", training=("loss.terms.arcface.loss.margin=0",)),
        Variant("with_contrast", "a contrastive loss beside", training=("loss=arcface_supcon",)),
        Variant(
            "with_heads", "category heads beside",
            training=("model=embedder/lite0_heads", "model.categories.products=false", "task.module.category_weight=0.5"),
        ),
        Variant(
            "with_teacher", "frozen lite2 as teacher",
            training=("task=reid_distilled_backbone", "task.module.distillation.teacher.image_size=128"),
        ),
    )
}  # fmt: skip
# How the base's own embeddings are asked, beside the nearest product mean.
ASKED: dict[str, str] = {
    "flip": "the mean with the mirrored photo's",
    "multicrop": "the mean of six crops",
    "multicrop_flip": "the mean of six crops and their mirror images",
    "likeliest": "by the likeliest product",
    "joined": "joined with the frozen backbone, by the likeliest product",
}
FIGURES = ("fine", "coarse", "gain")
METRICS: dict[str, str | None] = {
    f"{name}_{figure}": None
    for name in (*VARIANTS, *ASKED)
    for figure in FIGURES
    if not (name == BASE and figure == "gain")
}
