"""What every model is, and the parts that families share. A family imports from here and from no other family.

protocol     Autoencoder, its inputs and outputs; protocols of generative models and of likelihoods
output       raw outputs to data units, reconstruction losses
layers       activations, dense layers, initial weights
feedforward  the dense autoencoder and its parameters
gaussian     gaussian posteriors, shared by the variational families
rbm_layer    the restricted Boltzmann machine
greedy       stacks that are pretrained layer by layer
transformer  transformer blocks
registry     a model by its family's name
"""

from aelab.models.common.feedforward import DenseConfig, dense_parts
from aelab.models.common.gaussian import GaussianAutoencoder, gaussian_draw, gaussian_kl
from aelab.models.common.greedy import GreedyLayer, GreedyStack
from aelab.models.common.layers import (
    ACTIVATIONS,
    Activation,
    Init,
    Transposed,
    bernoulli_kl,
    dense,
    downsample_stack,
    initialise,
    initialise_relu,
    mlp,
    require,
    require_widths,
    start_at_mean,
    widen,
)
from aelab.models.common.output import (
    Output,
    OutputActivation,
    ReconstructionLoss,
    Reduction,
    cross_entropy,
    log_bernoulli,
)
from aelab.models.common.protocol import DROPOUT, Autoencoder, Batch, Generative, Likelihood, Losses, Phase, Spec
from aelab.models.common.rbm_layer import RBMLayer, bernoulli
from aelab.models.common.transformer import Block, grid_positions
