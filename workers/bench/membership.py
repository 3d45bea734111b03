"""Can an onlooker tell, from the loss alone, that something was once trained on?"""

from torch import Tensor


def membership_auc(members: Tensor, unseen: Tensor) -> float:
    """How often an instance [m] has a lower loss than one never seen [n], ties counting half (Mann–Whitney).

    0.5 is chance. The plain loss attack (Yeom et al. 2018, arXiv:1709.01604, section 3). Memory: m·n bytes.
    """
    lower = (members[:, None] < unseen).double().mean()
    ties = (members[:, None] == unseen).double().mean()
    return float(lower + ties / 2)
