"""One line for each figure on what to look at, true for every run; in the groups and order of the report."""

GROUPS = {
    "Overview": {
        "overview": "Compare each autoencoder with the baseline above it.",
    },
    "Reconstructions": {
        "reconstructions": "Read down a column: where does a model still draw this image, and where only its class?",
        "pca": "Within a group of equal code size: who draws an image where PCA draws a blur?",
        "masked": "Compare the hidden patches with the original: what does the model put where it saw nothing?",
    },
    "Noise": {
        "denoising": "Which models remove the noise of their training, and do they beat the filter on other noises?",
        "noise-map": "One row per model, one column per noise: the bold cells are where no filter is as good.",
        "noise-transfer": "The diagonal is the noise of training; off the diagonal is what transfers to other noises.",
        "noisy-epochs": "These models were trained on clean images only: do later steps remove noise or copy it?",
    },
    "Series": {
        "series": "Where does blue leave grey, and is that within what is usual for the model?",
        "series-noise": "Which of the two follows the grey line, and which follows the dots?",
    },
    "Columns": {
        "columns": "Left of the grey bar: better than the mean. Where nobody is, the column stands alone.",
        "confused": "Off the diagonal: categories that the other columns cannot tell apart.",
    },
    "Uses": {
        "anomalies": "Only what is right of the best orange mark, interval and all, beats what needs no net.",
        "one-class": "A class left of the others is one that the net rebuilds whether it has learned it or not.",
        "most-anomalous": "A false alarm is worth as much as a hit: what did the model miss in a normal image?",
        "neighbours": "Read along a line: where do raw values find the same outline, and the code the same class?",
        "compression": "Left of the black lines, codes need fewer bytes; then count the bytes of the model itself.",
        "learners": "Below the black line: features help this learner. The gap should close with more labels.",
    },
    "Error, size and cost": {
        "quality": "The distance from a mark to its grey tick is what a model gains or loses against PCA.",
        "capacity": "Left: error by size. Middle: below 1, a net beats PCA. Right: a better picture, a better code?",
        "cost": "The line joins those that no cheaper model beats; all others cost more than they need.",
        "rate": "Models on one dotted line have the same negative ELBO; other targets, another likelihood.",
    },
    "Codes": {
        "codes": "Clusters of one colour: classes that are separable in two dimensions.",
        "codes-3d": "Which classes does a third dimension separate?",
        "grids": "Each place of the plane decoded: where do images turn into each other, and where into nothing?",
        "chosen": "Compare the decoded image with how far its code lies from those of test images.",
        "by-class": "The label should decide what is drawn, the code how.",
        "clusters": "A category with one class only is a class found without labels.",
        "swaps": "The class should follow the column, the style the row.",
        "interpolations": "Does the way lead through images, or through a double exposure as the pixels' way does?",
        "filters": "Specks are of little use; strokes and blobs are parts of images.",
        "units": "Look for strokes and edges: parts that many images are made of.",
    },
    "Generated images": {
        "samples": "Would you take them for real? The last two panels have no prior: they decode random codes.",
    },
    "Training": {
        "epochs": "Down a group: what the first steps find, and what the later ones add.",
        "batches": "How far is a single batch from the mean, and so from what a net has learned?",
        "accuracy": "Which of the two would you stop by?",
        "curves": "Flat at 1: converged. Falling at its end: more steps help. Rising: it overfits; its best is kept.",
    },
    "Pretraining": {
        "stacks": "Compare each stack with the random one of its kind: do the intervals overlap?",
        "labels": "The distance to the dashed line is the gain from pretraining with this number of labels.",
        "class-errors": "A column that is dark for every stack is a class that is hard for all.",
        "stack-curves": "Where do pretrained stacks begin, and do they also end lower than the random one?",
    },
    "Toys": {
        "manifolds": "A straight line has to cut the corner of bent points; a curve need not.",
        "sheet": "Do colours that are far apart along the sheet stay apart in the code?",
        "directions": "Which code tells the two classes apart?",
        "field": "Follow the arrows: they lead to where the training points lie.",
    },
}
